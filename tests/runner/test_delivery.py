"""Reports are delivered sooner or later, whatever the server does, and nobody waits."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from django.core.exceptions import ImproperlyConfigured

from tests.runner.core.test_reports import REPORT
from tests.runner.fakes import abandon, until
from yourlabs.runner.notify import delivery as module
from yourlabs.runner.notify.base import DeliveryUnconfirmed, Notifier
from yourlabs.runner.notify.delivery import (
    Delivery,
    Key,
    Send,
    backoff,
    expect_answer,
)
from yourlabs.runner.notify.mail_text import Report

KEY = ("sync", "app.tasks.sync")
OTHER = ("sync", "app.tasks.clean")


class Box:
    """What is to be told, and what was."""

    def __init__(self) -> None:
        self.waiting: dict[Key, Report] = {}
        self.delay: float | None = None
        self.copies = 1_000
        """How many reports that are not answered are enough."""
        self.told: list[str] = []
        self._changed = threading.Condition()

    def put(self, key: Key, text: str) -> None:
        self.waiting[key] = replace(REPORT, task=text)

    def take(self, key: Key) -> Report | float | None:
        return self.delay or self.waiting.get(key)

    def note(self, send: Send) -> bool:
        if send.error is not None:
            self.copies -= 1
            if not self.copies:
                del self.waiting[send.key]
            return not self.copies
        with self._changed:
            if self.waiting.get(send.key) == send.report:
                del self.waiting[send.key]
            self.told.append(send.report.task)
            self._changed.notify_all()
        return True

    def wait_until(self, number: int, timeout: float = 20) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: len(self.told) >= number, timeout)


class Channel(Notifier):
    """Something to send through that fails as often as it is told to."""

    name = label = "test"

    def __init__(self) -> None:
        self.failures = 0
        self.sent: list[str] = []
        self.times: list[float] = []
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Semaphore(0)

    def send(self, report: Report) -> None:
        self.times.append(time.monotonic())
        self.begun.release()
        self.gate.wait(30)
        if self.failures:
            self.failures -= 1
            msg = "554 no\nthanks"
            raise OSError(msg)
        self.sent.append(report.task)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again after hundredths of a second."""
    monkeypatch.setattr(module, "FIRST_RETRY", 0.02)
    monkeypatch.setattr(module, "LAST_RETRY", 0.1)


@contextmanager
def started(channel: Channel, box: Box) -> Iterator[Delivery]:
    delivery = Delivery(channel, lambda key: box.take(key), lambda one: box.note(one))
    try:
        yield delivery
    finally:
        channel.gate.set()
        abandon(delivery)
        for thread in threading.enumerate():
            if thread.name.startswith("runner-test"):
                thread.join(10)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        getattr(record, "action", "")
        for record in caplog.records
        if record.levelno >= logging.WARNING
    ]


def test_a_report_is_sent() -> None:
    """What is posted is sent, by a thread of its own, which stays."""
    box, channel = Box(), Channel()
    box.put(KEY, "one")
    channel.gate.clear()
    with started(channel, box) as delivery:
        assert delivery._thread is None
        delivery.post(KEY)
        thread = delivery._thread
        assert thread is not None
        assert thread.daemon
        channel.gate.set()
        assert delivery.wait([KEY], 20)
        box.put(KEY, "two")
        delivery.post(KEY)
        assert delivery.wait([KEY], 20)

        assert channel.sent == box.told == ["one", "two"]
        assert delivery._thread is thread


def test_it_is_tried_until_it_works(caplog: pytest.LogCaptureFixture) -> None:
    """A report that fails is sent again; the log says so once, and once at the end."""
    box, channel = Box(), Channel()
    channel.failures = 8
    box.put(KEY, "one")
    with started(channel, box) as delivery:
        delivery.post(KEY)
        assert box.wait_until(1)
        assert delivery.wait([KEY], 20)

        assert channel.sent == ["one"]
        assert len(channel.times) == 9
        assert warnings_in(caplog) == ["delivery_failed", "delivery_works"]
        assert "OSError: 554 no thanks" in caplog.text
        assert not delivery.is_failing


def test_nobody_waits_while_it_fails() -> None:
    """Waiting ends as soon as a send fails, and does not begin while they do."""
    box, channel = Box(), Channel()
    channel.failures = 1_000
    box.put(KEY, "one")
    with started(channel, box) as delivery:
        delivery.post(KEY)
        assert not delivery.wait([KEY], 20)
        assert delivery.is_failing
        started_at = time.monotonic()
        delivery.wait([OTHER], 20)

        assert time.monotonic() - started_at < 5
        channel.failures = 0
        assert box.wait_until(1)


def test_one_that_fails_does_not_keep_the_others() -> None:
    """A report that no server takes is tried after those that were not tried."""
    box, channel = Box(), Channel()
    good = channel.send

    def send(report: Report) -> None:
        if report.task == "poison":
            msg = "refused"
            raise ValueError(msg)
        good(report)

    channel.send = send  # type: ignore[method-assign]
    box.put(KEY, "poison")
    box.put(OTHER, "good")
    with started(channel, box) as delivery:
        delivery.post(KEY)
        delivery.post(OTHER)

        assert box.wait_until(1)
        assert box.told == ["good"]


def test_one_that_is_refused_does_not_delay_a_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However long the next try of one waits, another one is tried soon."""
    monkeypatch.setattr(module, "FIRST_RETRY", 3600)
    monkeypatch.setattr(module, "LAST_RETRY", 3600)
    box, channel = Box(), Channel()
    channel.failures = 1
    box.put(KEY, "refused")
    box.put(OTHER, "fine")
    with started(channel, box) as delivery:
        delivery.post(KEY)
        assert channel.begun.acquire(timeout=20)
        delivery.post(OTHER)
        assert box.wait_until(1)

        assert channel.sent == ["fine"]
        assert KEY in delivery._due


def test_what_waits_is_up_to_date() -> None:
    """What is sent is what there is to say then, not what was when it was posted."""
    box, channel = Box(), Channel()
    channel.failures = 3
    box.put(KEY, "one")
    with started(channel, box) as delivery:
        delivery.post(KEY)
        assert channel.begun.acquire(timeout=20)
        box.put(KEY, "one and two")
        delivery.post(KEY)
        assert box.wait_until(1)

        assert box.told == ["one and two"]


def test_what_is_posted_during_a_send_is_sent_after_it() -> None:
    """A report that comes while one of the same task is being sent is not lost."""
    box, channel = Box(), Channel()
    channel.gate.clear()
    box.put(KEY, "one")
    with started(channel, box) as delivery:
        delivery.post(KEY)
        assert channel.begun.acquire(timeout=20)
        box.put(KEY, "two")
        delivery.post(KEY)
        channel.gate.set()
        assert box.wait_until(2)

        assert box.told == ["one", "two"]


def test_a_hanging_send_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A send that hangs is left alone and tried anew, at most three times."""
    monkeypatch.setattr(module, "GIVE_UP", 0.05)
    box, channel = Box(), Channel()
    channel.gate.clear()
    box.put(KEY, "one")
    with started(channel, box) as delivery:
        delivery.post(KEY)
        for _ in range(module.MAX_HUNG):
            assert channel.begun.acquire(timeout=20)
        assert not channel.begun.acquire(timeout=0.5)
        channel.gate.set()
        assert box.wait_until(1)

        assert "one" in channel.sent
        assert "delivery_hangs" in warnings_in(caplog)


def test_a_send_that_hangs_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be delivered yet: it is tried again when it has failed, and not before."""
    monkeypatch.setattr(module, "GIVE_UP", 0.02)
    monkeypatch.setattr(module, "LAST_RETRY", 3600)
    box, channel = Box(), Channel()
    channel.gate.clear()
    channel.failures = 1
    box.put(KEY, "one")
    with started(channel, box) as delivery:
        delivery.post(KEY)
        assert not delivery.wait([KEY], 20)
        assert delivery._due[KEY] > time.monotonic() + 3000
        channel.gate.set()
        assert box.wait_until(1)

    assert len(channel.times) == 2


def test_a_patient_flush() -> None:
    """It waits for what is tried again, and no longer than it is told to."""
    box, channel = Box(), Channel()
    channel.failures = 3
    box.put(KEY, "one")
    with started(channel, box) as delivery:
        delivery.post(KEY)
        assert delivery.wait([KEY], 20, retries=True)
        assert box.told == ["one"]

        channel.failures = 1_000
        box.put(KEY, "two")
        delivery.post(KEY)
        delivery.wait([KEY], 0.2, retries=True)

    assert box.told == ["one"]


def test_a_flush_without_hope(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the settings make fail is not waited for."""
    monkeypatch.setattr(module, "FIRST_RETRY", 600)
    monkeypatch.setattr(module, "LAST_RETRY", 600)
    box, channel = Box(), Channel()

    def send(report: Report) -> None:
        raise ImproperlyConfigured("ADMINS is empty")

    channel.send = send  # type: ignore[method-assign]
    box.put(KEY, "one")
    with started(channel, box) as delivery:
        delivery.post(KEY)
        started_at = time.monotonic()

        assert not delivery.wait([KEY], 300, retries=True)
        assert time.monotonic() - started_at < 60


def test_a_late_success_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A send that was given up and works after all is not sent again."""
    monkeypatch.setattr(module, "GIVE_UP", 0.05)
    monkeypatch.setattr(module, "FIRST_RETRY", 20.0)
    monkeypatch.setattr(module, "LAST_RETRY", 20.0)
    box, channel = Box(), Channel()
    channel.gate.clear()
    box.put(KEY, "one")
    with started(channel, box) as delivery:
        delivery.post(KEY)
        assert not delivery.wait([KEY], 20)
        channel.gate.set()
        assert box.wait_until(1)

        assert box.waiting == {}
        assert channel.sent == ["one"]


@pytest.mark.parametrize("raised", [SystemExit(1), KeyboardInterrupt(), MemoryError()])
def test_anything_can_be_raised(raised: BaseException) -> None:
    """What a channel raises never ends the thread, even SystemExit."""
    box, channel = Box(), Channel()
    sends: list[Callable[[Report], None]] = [channel.send]

    def send(report: Report) -> None:
        if sends:
            sends.pop()
            raise raised

    channel.send = send  # type: ignore[method-assign]
    box.put(KEY, "one")
    with started(channel, box) as delivery:
        delivery.post(KEY)
        assert box.wait_until(1)

        assert box.told == ["one"]


def test_a_report_can_wait() -> None:
    """What is posted for later is not sent before."""
    box, channel = Box(), Channel()
    box.put(KEY, "later")
    box.put(OTHER, "now")
    with started(channel, box) as delivery:
        delivery.post(KEY, 3600.0)
        delivery.post(OTHER)
        assert delivery.wait([KEY], 20)
        assert box.wait_until(1)

        assert box.told == ["now"]
        delivery.post(KEY)
        assert box.wait_until(2)


def test_what_has_to_wait_longer_is_asked_for_again() -> None:
    """When nothing may be told yet, it is asked for again when it may."""
    box, channel = Box(), Channel()
    box.put(KEY, "one")
    box.delay = 0.05
    with started(channel, box) as delivery:
        delivery.post(KEY)
        assert delivery.wait([KEY], 0.02) in (True, False)
        assert box.told == []
        box.delay = None
        assert box.wait_until(1)

        assert box.told == ["one"]


def test_what_is_posted_while_nothing_is_found() -> None:
    """What comes up just after it was asked for in vain is sent all the same."""
    box, channel = Box(), Channel()
    take, vain = box.take, iter([None])

    def late(key: Key) -> Report | float | None:
        for nothing in vain:
            box.put(KEY, "one")
            delivery.post(KEY)
            return nothing
        return take(key)

    box.take = late  # type: ignore[method-assign]
    with started(channel, box) as delivery:
        delivery.post(KEY)

        assert box.wait_until(1)


def test_withdrawn_reports_are_not_sent() -> None:
    """What is taken back before it is due is never sent."""
    box, channel = Box(), Channel()
    box.put(KEY, "one")
    box.put(OTHER, "two")
    with started(channel, box) as delivery:
        delivery.post(KEY, 0.2)
        delivery.withdraw([KEY])
        delivery.post(OTHER, 0.3)
        assert box.wait_until(1)

        assert box.told == ["two"]


def test_a_flush_waits_for_what_is_due() -> None:
    """A flush ends when what is due was sent, and does not wait for what is not."""
    box, channel = Box(), Channel()
    box.put(KEY, "one")
    box.put(OTHER, "later")
    with started(channel, box) as delivery:
        delivery.post(KEY)
        delivery.post(OTHER, 3600.0)
        assert delivery.wait([KEY, OTHER], 20)

        assert box.told == ["one"]


def test_a_flush_is_bounded() -> None:
    """A flush of a send that hangs ends after its timeout."""
    box, channel = Box(), Channel()
    channel.gate.clear()
    box.put(KEY, "one")
    with started(channel, box) as delivery:
        delivery.post(KEY)
        assert channel.begun.acquire(timeout=20)

        assert not delivery.wait([KEY], 0.05)


def test_posting_never_waits() -> None:
    """Thousands of posts behind a send that hangs take milliseconds."""
    box, channel = Box(), Channel()
    channel.gate.clear()
    box.put(KEY, "one")
    with started(channel, box) as delivery:
        delivery.post(KEY)
        assert channel.begun.acquire(timeout=20)
        started_at = time.monotonic()
        for _ in range(3_000):
            delivery.post(KEY)

        assert time.monotonic() - started_at < 2
        assert len(delivery._due) == 1


def test_no_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where no thread can be started any more, nothing is raised and it is logged."""
    box, channel = Box(), Channel()

    def refuse(self: threading.Thread) -> None:
        msg = "can't start new thread"
        raise RuntimeError(msg)

    box.put(KEY, "one")
    with started(channel, box) as delivery:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            delivery.post(KEY)
            delivery.post(KEY)
        assert warnings_in(caplog) == ["delivery_failed"]
        delivery.post(KEY)

        assert box.wait_until(1)


def test_a_mistake_of_the_source_is_survived(caplog: pytest.LogCaptureFixture) -> None:
    """What is told by a source that raises is logged; the thread goes on."""
    box, channel = Box(), Channel()
    take = box.take

    def broken(key: Key) -> Report | float | None:
        if key == KEY:
            raise RuntimeError(KEY)
        return take(key)

    box.take = broken  # type: ignore[method-assign]
    box.put(OTHER, "good")
    with started(channel, box) as delivery:
        delivery.post(KEY)
        delivery.post(OTHER)
        assert box.wait_until(1)

        assert "The delivery of reports raised." in caplog.text


def test_a_mistake_of_the_source_loses_nothing() -> None:
    """What a source could not say once is asked for again, with nothing new posted."""
    box, channel = Box(), Channel()
    take, tries = box.take, iter([MemoryError()])

    def broken(key: Key) -> Report | float | None:
        for exc in tries:
            raise exc
        return take(key)

    box.take = broken  # type: ignore[method-assign]
    box.put(KEY, "one")
    with started(channel, box) as delivery:
        delivery.post(KEY)
        assert box.wait_until(1)

    assert channel.sent == ["one"]


@pytest.mark.parametrize("number", [1, 2])
def test_no_answer(
    number: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What may have arrived is sent again, until the source says that it is told."""
    box, channel = Box(), Channel()
    box.copies = number
    send = channel.send

    def unanswered(report: Report) -> None:
        send(report)
        if report.task == "one":
            raise DeliveryUnconfirmed("no word of it")

    channel.send = unanswered  # type: ignore[method-assign]
    box.put(KEY, "one")
    box.put(OTHER, "other")
    with started(channel, box) as delivery:
        delivery.post(KEY)
        until(lambda: KEY not in box.waiting)
        delivery.post(OTHER)
        assert box.wait_until(1)

        assert channel.sent == ["one"] * number + ["other"]
        assert box.told == ["other"]
        assert "no word of it" in caplog.text or number == 1


def test_answer_that_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has handed a report over has more time, and is not what hangs."""
    monkeypatch.setattr(module, "GIVE_UP", 0.05)
    box, channel = Box(), Channel()
    channel.gate.clear()
    send = channel.send

    def patient(report: Report) -> None:
        expect_answer(20)
        send(report)

    channel.send = patient  # type: ignore[method-assign]
    box.put(KEY, "one")
    with started(channel, box) as delivery:
        delivery.post(KEY)
        assert channel.begun.acquire(timeout=20)
        assert not channel.begun.acquire(timeout=0.3)
        channel.gate.set()
        assert box.wait_until(1)

        assert channel.sent == ["one"]


def test_answer_that_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """In that time nothing is heard: it counts as what may have arrived."""
    box, channel = Box(), Channel()
    box.copies = 1
    channel.gate.clear()
    send = channel.send

    def patient(report: Report) -> None:
        expect_answer(0.05)
        send(report)

    channel.send = patient  # type: ignore[method-assign]
    box.put(KEY, "one")
    with started(channel, box) as delivery:
        delivery.post(KEY)
        until(lambda: KEY not in box.waiting)

        assert len(channel.times) == 1
        assert not delivery.is_failing


def test_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries are a second apart, then further, up to five minutes, never in step."""
    monkeypatch.undo()

    assert 0.8 <= backoff(1) <= 1
    assert 6.4 <= backoff(4) <= 8
    assert 240 <= backoff(10_000) <= 300
    assert len({backoff(20) for _ in range(20)}) > 1


class Unspeakable(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise SystemExit


def test_an_error_without_words(caplog: pytest.LogCaptureFixture) -> None:
    """A channel may raise what cannot be shown: it is named."""
    box, channel = Box(), Channel()
    sends = [1]
    send = channel.send

    def refuse(report: Report) -> None:
        if sends:
            sends.pop()
            raise Unspeakable
        send(report)

    channel.send = refuse  # type: ignore[method-assign]
    box.put(KEY, "one")
    with started(channel, box) as delivery:
        delivery.post(KEY)
        assert box.wait_until(1)

        assert "Could not send test: Unspeakable." in caplog.text


def test_connections_that_cannot_be_closed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A database that is gone after a send costs no report."""

    def fail() -> None:
        msg = "the database is gone"
        raise RuntimeError(msg)

    monkeypatch.setattr("django.db.connections.close_all", fail)
    box, channel = Box(), Channel()
    box.put(KEY, "one")
    with started(channel, box) as delivery:
        delivery.post(KEY)
        assert box.wait_until(1)

        assert channel.sent == ["one"]
        assert "A database connection could not be closed." in caplog.text


def test_a_mistake_in_taking_note(caplog: pytest.LogCaptureFixture) -> None:
    """What was delivered is not sent again when it cannot be noted."""
    box, channel = Box(), Channel()
    noted = threading.Event()

    def broken(send: Send) -> bool:
        noted.set()
        raise RuntimeError(send.key)

    box.note = broken  # type: ignore[method-assign]
    box.put(KEY, "one")
    with started(channel, box) as delivery:
        delivery.post(KEY)
        assert noted.wait(20)
        assert delivery.wait([KEY], 20)

        assert channel.sent == ["one"]
        assert "Could not take note of what was sent." in caplog.text
