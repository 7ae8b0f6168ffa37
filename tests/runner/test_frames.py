"""Looking at what a thread is doing."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading

import pytest

from yourlabs.runner.failures.frames import frame_of

LOOK = """
import gc, os, threading, time, weakref
from yourlabs.runner.failures.frames import frame_of

class Node:
    pass

references = []

def leave_garbage():
    node = Node()
    node.itself = node
    # To call it lets other threads go on.
    references.append(weakref.ref(node, lambda _: time.sleep(0)))
    del references[:-50]

def rest(depth):
    rest(depth - 1) if depth else time.sleep(0.0005)

def begin_and_end():
    while True:
        threads = [threading.Thread(target=rest, args=(5,)) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

gc.set_threshold(20)
for _ in range(2):
    threading.Thread(target=begin_and_end, daemon=True).start()
main = threading.main_thread().ident
for _ in range(1500):
    leave_garbage()
    frame_of(main)
os._exit(0)
"""


def test_frame_of_a_thread() -> None:
    """It is the innermost one; there is none of a thread that has ended."""
    entered, left = threading.Event(), threading.Event()

    def wait() -> None:
        entered.set()
        left.wait(60)

    thread = threading.Thread(target=wait)
    assert frame_of(thread.ident) is None
    thread.start()
    assert entered.wait(60)
    frame = frame_of(thread.ident)
    names = []
    while frame is not None:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    left.set()
    thread.join()

    assert "wait" in names
    assert frame_of(thread.ident) is None


@pytest.mark.parametrize("is_enabled", [True, False])
def test_garbage_collection_stays_as_it_is(is_enabled: bool) -> None:
    """Who has switched it off finds it off."""
    before = gc.isenabled()
    (gc.enable if is_enabled else gc.disable)()
    try:
        frame_of(threading.get_ident())
        assert gc.isenabled() is is_enabled
    finally:
        (gc.enable if before else gc.disable)()


def test_process_does_not_freeze() -> None:
    """Threads end, and garbage is collected, while it is looked: Python 3.11 froze."""
    done = subprocess.run([sys.executable, "-c", LOOK], timeout=100, check=False)

    assert done.returncode == 0


FORK = """
import gc, os, signal, sys, threading, time
from yourlabs.runner.failures import frames

inside = threading.Event()
current_frames = sys._current_frames

def slowly():
    inside.set()
    time.sleep(0.2)
    return current_frames()

sys._current_frames = slowly
ident = threading.get_ident()
threading.Thread(target=frames.frame_of, args=(ident,)).start()
inside.wait()
pid = os.fork()
if not pid:
    signal.alarm(30)
    os._exit(0 if frames.frame_of(ident) and gc.isenabled() else 1)
_, status = os.waitpid(pid, 0)
os._exit(os.waitstatus_to_exitcode(status))
"""


def test_fork_while_it_is_looked() -> None:
    """A child can look as well, and collects its garbage."""
    done = subprocess.run([sys.executable, "-c", FORK], timeout=100, check=False)

    assert done.returncode == 0
