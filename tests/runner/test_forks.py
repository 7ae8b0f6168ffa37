"""What a forked child renews, and in which order."""

from __future__ import annotations

import pytest

from tests.places import Place
from yourlabs.runner import forks

SCRIPT = """
import os
from yourlabs.runner.forks import ORDER, renew_in_child

for name in reversed(ORDER):
    renew_in_child(name, lambda name=name: print(name, flush=True))
    renew_in_child(name, lambda: 1 / 0)
if not os.fork():
    print("child", flush=True)
    os._exit(0)
os.wait()
print("parent", flush=True)
"""


def test_order(place: Place) -> None:
    """From the bottom up, whatever was registered first, and whatever raises."""
    child = place.script(SCRIPT)

    assert child.wait() == 0
    expected = [*forks.ORDER, "child", "parent"]
    assert [line for line in child.text().splitlines() if line in expected] == expected


def test_unknown_name() -> None:
    """What is in no place of the order is an error at once."""
    with pytest.raises(KeyError):
        forks.renew_in_child("anything", print)
