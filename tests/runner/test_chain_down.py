"""A chain that cannot run is told of like a task: first, still, healed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import mail as django_mail

from tests.runner.fakes import MemoryState, abandon, quick, until
from yourlabs.runner.chain.cannot_run import ProblemReporter, down_chain
from yourlabs.runner.chain.task import make_chain
from yourlabs.runner.exceptions import RunnerError
from yourlabs.runner.notify import mail
from yourlabs.runner.notify.chain_down import ChainDown
from yourlabs.runner.notify.mail import AdminMail
from yourlabs.runner.notify.subscriber import Subscriber
from yourlabs.runner.testing import FakeClock, MemoryBackend

CHAIN = make_chain([quick(lambda: None, name="sync")], name="sync")


@pytest.fixture(autouse=True)
def subscriber() -> Iterator[Subscriber]:
    mail.subscriber.disconnect()
    subscriber = Subscriber(AdminMail(), section="notifications")
    subscriber.connect()
    yield subscriber
    subscriber.disconnect()
    abandon(subscriber.delivery)
    mail.subscriber.connect()


def subjects(number: int) -> list[str]:
    """Wait for so many mails; return the subjects of all."""
    until(lambda: len(django_mail.outbox) >= number)
    return [message.subject for message in django_mail.outbox]


def test_first_and_healed() -> None:
    """What keeps it from running is told once, and that it runs again."""
    down = ChainDown(CHAIN, MemoryState())
    for _ in range(20):
        down.failed(PermissionError(13, "Permission denied", "/run/app/sync.pid"))
    assert down.downtime.is_down
    subjects(1)
    down.recovered()
    down.recovered()

    assert subjects(2) == [
        "[Django] [sync] First exception caught: The chain cannot run: [Errno 13] "
        "Permission denied: '/run/app/sync.pid'",
        "[Django] [sync] Process healed",
    ]
    body = django_mail.outbox[0].body
    assert body.startswith("sync is down.\n")
    assert CHAIN.tasks[0].path in body
    assert "Chain:                        sync\n" in body
    assert "Traceback" not in body


def test_still_down(settings: Any) -> None:
    """Who was told is reminded, with failures and not by the clock."""
    settings.RUNNER = {"NON_RECOVERABLE_DOWNTIME": 0.3}
    down = ChainDown(CHAIN, MemoryState())
    down.failed(OSError("no"))

    def another() -> bool:
        down.failed(OSError("no"))
        return len(django_mail.outbox) >= 2

    until(another)

    assert subjects(2)[1] == "[Django] [sync] Non recoverable downtime reached"


def test_next_holder() -> None:
    """Another process tells nothing again, and tells the end."""
    state = MemoryState()
    for _ in range(3):
        down = ChainDown(CHAIN, state)
        down.failed(RunnerError("the lock is held by a stranger"))
        down.close()
    heir = ChainDown(CHAIN, state)
    assert heir.downtime.is_down
    heir.recovered()
    heir.close()

    assert subjects(2) == [
        "[Django] [sync] First exception caught: The chain cannot run: the lock is "
        "held by a stranger",
        "[Django] [sync] Process healed",
    ]
    assert json.dumps(state._sections)


def test_silence() -> None:
    """In silence nothing is told; what is owed when it ends is told then, once."""
    backend = MemoryBackend(clock := FakeClock())
    trouble = ProblemReporter(CHAIN, backend, clock)
    silenced = {"until": None, "by": "ann", "reason": "they mend it"}
    backend.store(CHAIN).steer(lambda _: {"silenced": silenced})
    for _ in range(3):
        trouble.report(OSError("no"))
        clock.advance(60)
    backend.store(CHAIN).steer(lambda _: {"silenced": None})
    trouble.report(OSError("no"))

    assert len(subjects(1)) == 1
    assert "Failures since the last mail: 4" in django_mail.outbox[0].body
    trouble.close()


def test_end_in_silence() -> None:
    """What a silence holds back of the end is sent after it, and counted once."""
    backend = MemoryBackend(clock := FakeClock())
    trouble = ProblemReporter(CHAIN, backend, clock)
    trouble.report(OSError("no"))
    subjects(1)
    silenced = {"until": None, "by": "ann", "reason": "they mend it"}
    backend.store(CHAIN).steer(lambda _: {"silenced": silenced})
    for _ in range(3):
        trouble.clear()
        clock.advance(60)
    kept = backend.store(down_chain(CHAIN)).load()["notifications"]
    assert (kept["pending"], kept["held"]) == (1, 1)
    backend.store(CHAIN).steer(lambda _: {"silenced": None})
    trouble.clear()

    assert subjects(2)[1:] == ["[Django] [sync] Process healed"]


def test_no_words() -> None:
    """What says nothing is named, and what is unexpected has a traceback."""
    down = ChainDown(CHAIN, MemoryState())
    try:
        raise AssertionError
    except AssertionError as exc:
        down.failed(exc)

    assert subjects(1) == [
        "[Django] [sync] First exception caught: The chain cannot run: "
        "builtins.AssertionError"
    ]
    assert "in test_no_words" in django_mail.outbox[0].body


@pytest.mark.parametrize("value", [7, {"x": 1}, [[]]])
def test_strange_state(value: Any) -> None:
    """Whatever is in the file, it is told that the chain cannot run."""
    state = MemoryState()
    state.put("downtimes", value)
    down = ChainDown(CHAIN, state)
    down.failed(OSError("no"))

    assert len(subjects(1)) == 1


def test_beside_the_chain() -> None:
    """What is told of the chain and of its task are two things."""
    from tests.runner.test_mail import Chain

    chain = Chain().start()
    down = ChainDown(chain.chain, MemoryState())
    down.failed(OSError("no"))
    chain.fail()
    chain.stop()
    down.recovered()
    down.close()

    assert sorted(subjects(3)) == [
        "[Django] [sync] First exception caught: The chain cannot run: no",
        "[Django] [sync] First exception caught: division by zero",
        "[Django] [sync] Process healed",
    ]
