"""Fixtures of the runner's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.places import Place
from tests.runner.fakes import abandon
from yourlabs.runner.notify import subscriber


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Return a folder in which chains can be run in processes of their own."""
    place = Place(tmp_path)
    yield place
    place.close()


@pytest.fixture(autouse=True)
def nothing_is_owed() -> Iterator[None]:
    """What a test's chains have to tell must not be told in the next test."""
    yield
    for one in subscriber.connected:
        thread = one.delivery._thread
        abandon(one.delivery)
        if thread is not None:
            # What it has begun to send would be in the log of the next test.
            thread.join(5)
        one._renew()
