"""Fixtures of the runner's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.places import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Return a folder in which chains can be run in processes of their own."""
    place = Place(tmp_path)
    yield place
    place.close()
