"""The torture of several machines, for a while: ``CLUSTER_TORTURE_SECONDS``."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.runner.cluster.harness import ClusterServer
from tests.runner.cluster.torture import torture

SECONDS = float(os.environ.get("CLUSTER_TORTURE_SECONDS", "45"))


@pytest.mark.services
@pytest.mark.torture
@pytest.mark.timeout(SECONDS * 2 + 120)
def test_torture(server: ClusterServer, tmp_path: Path) -> None:
    """No run begins after its machine's lease has ended, and tokens never fall."""
    verdict = torture(tmp_path, server, SECONDS, random.randrange(2**32))
    print(f"\n{verdict}")

    assert verdict["old tokens"] == []
    assert verdict["overlaps"] == []
    assert verdict["owners"] > SECONDS / 30
