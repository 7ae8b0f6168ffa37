"""The admins are told what matters, once, over any mail server there is."""

from __future__ import annotations

import contextlib
import contextvars
import json
import logging
import math
import os
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import django
import pytest
from django.core import mail as django_mail
from django.core.mail.backends.locmem import EmailBackend as LocmemBackend

from tests.runner.fakes import MemoryState, abandon, log, quick, running, until
from tests.runner.smtp import Mailbox, RudeServer, drip, free_port, smtp_server
from tests.runner.states import FileState
from yourlabs.runner import signals
from yourlabs.runner.chain.execution import Execution
from yourlabs.runner.chain.signals import send_robust
from yourlabs.runner.chain.task import Task, make_chain
from yourlabs.runner.exceptions import RunnerError
from yourlabs.runner.failures.describe import Described
from yourlabs.runner.failures.downtime import Downtime, downtimes_from_json
from yourlabs.runner.failures.text import printable
from yourlabs.runner.notifiers import Notifier, Report, subscribe
from yourlabs.runner.notify import delivery, mail
from yourlabs.runner.notify.mail import AdminMail
from yourlabs.runner.notify.subscriber import FLUSH, Subscriber
from yourlabs.runner.notify.told import Told

ZERO = timedelta()
SECOND = timedelta(seconds=1)


def work() -> None:
    """What the chains of these tests seem to run."""


class Pretending(Execution):
    """Counts and tells what a test says that came of a run."""

    state: Any = None

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "downtime" and self.state is not None:
            self.state.put("downtimes", {self.key: value.to_json()})

    def fail(self, message: str, said: str = "") -> None:
        message = printable(message)
        described = Described(
            "builtins.ZeroDivisionError",
            said or message,
            f"Traceback …\nZeroDivisionError: {message}\n",
            f"2:{message}",
        )
        self._end()
        self._count(described, time.monotonic(), took=0.0)
        self._tell(RunnerError(message), described, ZERO)

    def succeed(self) -> None:
        self._after_success(False, self._end())

    def _end(self) -> float:
        if not self.is_called:
            self.begin()
        return self._ended(contextvars.Context())

    def begin(self, seconds: float = 0.0) -> None:
        self.last_run = time.time() - seconds
        self.started = time.monotonic() - seconds
        self.is_called = self._is_running = True

    def hang(self, seconds: float = 0.0) -> None:
        self.begin(seconds)
        stall = self.stalled(self.started, '  File "x.py", line 3, in work')
        send_robust(signals.task_stalled, self.task, stall=stall)


class Chain:
    """Sends the signals that the thread of a chain would send."""

    def __init__(self, state: Any = None, *, name: str = "sync", **options: Any):
        declared = {"fail_cooldown": SECOND, "success_cooldown": SECOND, **options}
        self.task = Task(work, f"app.tasks.{name}", name, declared)
        self.chain = make_chain([self.task])
        self.name = self.chain.name
        self.state = MemoryState() if state is None else state
        self.is_new_start = self.once = False
        self.execution = Pretending(self.task, self.name, self.task.path)
        self.execution.cooldown = self.execution.options.fail_cooldown
        self.tasks = (self.execution,)

    def start(self) -> Chain:
        self.state.load()
        execution = self.execution
        known = downtimes_from_json(self.state.get("downtimes") or {})
        execution.resume(known.get(execution.key, Downtime()))
        execution.state = self.state
        send_robust(signals.chain_started, self)
        return self

    def stop(self) -> None:
        send_robust(signals.chain_stopped, self)
        self.state.close()

    def fail(self, message: str = "division by zero") -> None:
        self.execution.fail(message)

    def succeed(self) -> None:
        self.execution.succeed()

    def stall(self, seconds: float = 0.0) -> None:
        self.execution.hang(seconds)


@pytest.fixture(autouse=True)
def subscriber(monkeypatch: pytest.MonkeyPatch) -> Iterator[Subscriber]:
    """The one that listens; it tries again after hundredths of a second."""
    monkeypatch.setattr(delivery, "FIRST_RETRY", 0.05)
    monkeypatch.setattr(delivery, "LAST_RETRY", 0.2)
    mail.subscriber.disconnect()
    subscriber = Subscriber(AdminMail(), section="notifications")
    subscriber.connect()
    yield subscriber
    subscriber.disconnect()
    abandon(subscriber.delivery)
    for thread in threading.enumerate():
        if getattr(thread, "delivery", None) is subscriber.delivery:
            # It is listed a moment before it can be joined.
            until(lambda thread=thread: thread.ident)  # type: ignore[misc]
            thread.join(10)
    if (sending := subscriber.delivery._thread) is not None:
        sending.join(10)
    mail.subscriber.connect()


@pytest.fixture(autouse=True)
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, logger="runner")
    return caplog


def use_smtp(settings: Any, port: int, timeout: float | None = None) -> None:
    """Have Django send through a server on this machine."""
    if django.VERSION >= (6, 1):
        options = {"host": "127.0.0.1", "port": port, "timeout": timeout}
        backend = "django.core.mail.backends.smtp.EmailBackend"
        settings.MAILERS = {"default": {"BACKEND": backend, "OPTIONS": options}}
    else:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
        settings.EMAIL_TIMEOUT = timeout


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    with smtp_server() as (box, port):
        use_smtp(settings, port)
        yield box


def actions(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [getattr(record, "action", "") for record in caplog.records]


def test_a_failure_is_mailed(
    mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    """The first failure is a mail to the admins, and a line in the log."""
    Chain().start().fail()

    assert mailbox.wait_for_mails(1)
    message = mailbox.mails[0]
    assert (
        message["Subject"] == "[Django] [sync] First exception caught: division by zero"
    )
    assert message["To"] == "admin@example.com"
    assert message["From"] == "root@localhost"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "text/plain"
    assert "ZeroDivisionError: division by zero" in message.get_content()
    assert (
        "[sync] Sent email to admins: First exception caught: division by zero"
        in caplog.messages
    )


def test_functions_of_one_factory(mailbox: Mailbox) -> None:
    """They share a path: each one's failure is told all the same, and each recovery."""
    is_down = {"north": True, "south": True}

    def checking(site: str) -> Task:
        def check() -> None:
            if is_down[site]:
                raise ConnectionError("no answer")

        return quick(check, name=site, fail_cooldown=0.01)

    with running(checking("north"), checking("south")) as thread:
        assert mailbox.wait_for_mails(2)
        is_down["south"] = False
        assert mailbox.wait_for_mails(3)
        assert thread.status().down_since is not None

    assert [str(mail["Subject"]) for mail in mailbox.mails] == [
        "[Django] [north] First exception caught: no answer",
        "[Django] [south] First exception caught: no answer",
        "[Django] [south] Process healed",
    ]


def test_the_log_is_in_order(
    mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    """The chain waits for the line of the log, for a moment, and no longer."""
    chain = Chain().start()
    chain.fail()

    assert "report_sent" in actions(caplog)


def test_the_mails_of_a_downtime_are_a_thread(mailbox: Mailbox) -> None:
    """Each mail of a downtime refers to the first one; the next downtime is new."""
    chain = Chain().start()
    chain.fail("one")
    chain.fail("two")
    chain.succeed()
    chain.fail("one")
    assert mailbox.wait_for_mails(4)
    first, second, third, fourth = mailbox.mails

    assert first["References"] is None
    assert second["References"] == third["References"] == first["Message-ID"]
    assert second["In-Reply-To"] == first["Message-ID"]
    assert fourth["References"] is None
    assert len({message["Message-ID"] for message in mailbox.mails}) == 4
    assert mailbox.subjects == [
        "[Django] [sync] First exception caught: one",
        "[Django] [sync] New exception caught: two",
        "[Django] [sync] Process healed",
        "[Django] [sync] Failing again: one",
    ]


@pytest.mark.parametrize(
    "admins",
    [
        ["a@example.com", "b@example.com"],
        [("A", "a@example.com"), ("B", "b@example.com")],
        (("A", "a@example.com"), "b@example.com", ""),
    ],
    ids=["strings", "pairs", "mixed"],
)
def test_admins_in_any_form(mailbox: Mailbox, settings: Any, admins: Any) -> None:
    """Addresses and pairs of name and address are understood on every Django."""
    settings.ADMINS = admins
    Chain().start().fail()

    assert mailbox.wait_for_mails(1)
    assert mailbox.mails[0]["To"] == "a@example.com, b@example.com"


@pytest.mark.parametrize("admins", [[], None, "a@example.com", [None], [("A", "")], 7])
def test_no_admins(
    settings: Any, admins: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """With nobody to tell, the log says so once, and nothing raises or waits."""
    settings.ADMINS = admins
    chain = Chain().start()
    started_at = time.monotonic()
    for number in range(50):
        chain.fail(f"word {number}")

    assert time.monotonic() - started_at < 5
    assert actions(caplog).count("delivery_failed") >= 1
    warnings = [
        item
        for item in caplog.records
        if item.levelno >= logging.WARNING and item.getMessage().startswith("Could")
    ]
    assert len(warnings) == 1
    assert "ADMINS is empty" in warnings[0].getMessage()


def test_the_outbox(settings: Any) -> None:
    """Without a mail server, as in tests, the mail is in Django's outbox."""
    Chain().start().fail()

    assert [message.subject for message in django_mail.outbox] == [
        "[Django] [sync] First exception caught: division by zero"
    ]


def test_on_screen(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A mail that is shown and not sent has its lines as they are."""
    path = "django.core.mail.backends.console.EmailBackend"
    if django.VERSION >= (6, 1):
        settings.MAILERS = {"default": {"BACKEND": path}}
    else:
        settings.EMAIL_BACKEND = path
    message = "no answer of the server " * 20
    Chain().start().fail(message)

    shown = capsys.readouterr().out
    assert f"ZeroDivisionError: {message}\n" in shown
    assert "quoted-printable" not in shown


class Queue(LocmemBackend):
    """Takes mails that somebody sends later, as django-mailer does."""


def test_a_queue_has_not_sent_it(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the mail backend is not Django's, the log says who was handed a mail."""
    path = f"{__name__}.Queue"
    if django.VERSION >= (6, 1):
        settings.MAILERS = {"default": {"BACKEND": path}}
    else:
        settings.EMAIL_BACKEND = path
    Chain().start().fail()

    assert (
        "[sync] Sent email to admins: First exception caught: division by zero "
        f"(handed to {path})"
    ) in caplog.messages


@pytest.mark.parametrize(
    "message",
    [
        "a\nBcc: x@example.com",
        "a\r\nBcc: x@example.com\r\n\r\nbody",
        "a\x0bb\u2028c\x85d",
        "\ud800 \0",
        "x" * 10_000,
        "\u2603" * 10_000,
        "",
    ],
)
def test_no_message_harms_the_header(mailbox: Mailbox, message: str) -> None:
    """Whatever an exception says, the mail arrives and no header is injected."""
    Chain(name="sync").start().fail(message)

    assert mailbox.wait_for_mails(1)
    received = mailbox.mails[0]
    assert received["Bcc"] is None
    assert received["To"] == "admin@example.com"
    assert "[Django] [sync] First exception caught" in received["Subject"]
    assert len(received.as_bytes()) < 100_000


def test_mail_can_be_turned_off(
    settings: Any, subscriber: Subscriber, caplog: pytest.LogCaptureFixture
) -> None:
    """With RUNNER["EMAIL"] False nothing is sent, noted or started."""
    settings.RUNNER = {"EMAIL": False}
    chain = Chain().start()
    chain.fail()
    chain.stop()
    Chain(name="unheard").fail()

    assert django_mail.outbox == []
    assert chain.state.get("notifications") is None
    assert subscriber.delivery._thread is None


def test_a_wrong_setting_does_not_silence_failures(settings: Any) -> None:
    """A MAX_NEW_EXCEPTIONS that is no number costs no mail."""
    settings.RUNNER = {"MAX_NEW_EXCEPTIONS": "many"}
    Chain().start().fail()

    assert len(django_mail.outbox) == 1


def test_a_chain_that_nobody_announced() -> None:
    """A failure of a chain whose start was not heard of harms nobody."""
    Chain().fail()

    assert django_mail.outbox == []


def test_successes_cost_nothing(mailbox: Mailbox) -> None:
    """Nothing listens to runs that succeed, not even while one of them hangs."""
    chain = Chain().start()
    chain.fail()
    chain.succeed()
    chain.stall()
    assert mailbox.wait_for_mails(3)
    assert not signals.task_succeeded.receivers
    chain.succeed()

    assert mailbox.wait_for_mails(4)
    assert mailbox.subjects[2] == "[Django] [sync] Task stalled"
    assert mailbox.subjects[3].startswith("[Django] [sync] Stalled task ended: after")
    assert 'File "x.py", line 3, in work' in mailbox.mails[2].get_content()


def test_starts_by_a_timer(mailbox: Mailbox) -> None:
    """A chain that is started anew for each of its failures tells them once."""
    state = MemoryState()
    for _ in range(10):
        chain = Chain(state)
        chain.once = True
        chain.start().fail()
        chain.stop()
    healthy = Chain(state).start()
    healthy.succeed()

    assert mailbox.wait_for_mails(2)
    assert mailbox.subjects == [
        "[Django] [sync] First exception caught: division by zero",
        "[Django] [sync] Process healed",
    ]
    assert _told(mailbox) == 10


def test_a_stall_that_is_over(settings: Any, subscriber: Subscriber) -> None:
    """One that could not be told before the run had ended is told with its end."""
    port = free_port()
    use_smtp(settings, port)
    chain = Chain().start()
    chain.stall(600)
    until(lambda: subscriber.delivery.is_failing)
    chain.succeed()
    with smtp_server(port) as (mailbox, _):
        assert mailbox.wait_for_mails(1)

    [subject] = mailbox.subjects
    assert subject == "[Django] [sync] Stalled task ended: after 10 minutes"
    assert (
        "Also:                         Task stalled" in mailbox.mails[0].get_content()
    )


def test_a_stall_of_one_of_two_chains(mailbox: Mailbox) -> None:
    """What hangs in one chain does not end with a run of the other."""
    one, other = Chain().start(), Chain()
    other.chain = make_chain([other.task], name="other")
    other.name = "other"
    other.start()
    one.stall(720)
    assert mailbox.wait_for_mails(1)

    other.succeed()
    other.stop()
    one.succeed()

    assert mailbox.wait_for_mails(2)
    ended = "[Django] [sync] Stalled task ended: after 12 minutes"
    assert mailbox.subjects[1] == ended


def test_a_stall_outlives_the_process(mailbox: Mailbox) -> None:
    """That a run hangs no more is told by the next owner, who does not know its end."""
    chain = Chain().start()
    chain.stall()
    assert mailbox.wait_for_mails(1)
    chain.stop()
    Chain(chain.state).start()

    assert mailbox.wait_for_mails(2)
    assert mailbox.subjects[1] == "[Django] [sync] Stalled task ended: with its process"


def test_three_owners_tell_once(mailbox: Mailbox, tmp_path: Any) -> None:
    """Three processes that fail alike send one mail; the fourth, healthy, the end."""
    path = tmp_path / "sync.json"
    for _ in range(3):
        chain = Chain(FileState(path)).start()
        chain.fail()
        chain.stop()
    healthy = Chain(FileState(path)).start()
    healthy.succeed()
    healthy.stop()

    assert mailbox.wait_for_mails(2)
    assert mailbox.subjects == [
        "[Django] [sync] First exception caught: division by zero",
        "[Django] [sync] Process healed",
    ]
    assert "Failures since the last mail: 2" in mailbox.mails[1].get_content()


@pytest.mark.parametrize("fresh", [True, False])
def test_a_new_start_is_told(mailbox: Mailbox, settings: Any, fresh: bool) -> None:
    """A person or a new release begins with a first exception, and the mail says so."""
    settings.RUNNER = {"RELEASE": "1"}
    chain = Chain().start()
    chain.fail()
    chain.stop()
    if not fresh:
        settings.RUNNER = {"RELEASE": "2"}
    heir = Chain(chain.state)
    heir.is_new_start = fresh
    heir.start().fail()

    assert mailbox.wait_for_mails(2)
    assert "First exception caught" in mailbox.subjects[1]
    why = "somebody started it" if fresh else "release 2, it was 1"
    assert why in mailbox.mails[1].get_content()


def test_the_very_first_mail(mailbox: Mailbox) -> None:
    """Who was told nothing before is not told why it is told again."""
    chain = Chain()
    chain.is_new_start = True
    chain.start().fail()

    assert mailbox.wait_for_mails(1)
    assert "New start" not in mailbox.mails[0].get_content()


def test_crash_loop_under_a_supervisor(mailbox: Mailbox) -> None:
    """A start that is no new one tells nothing again."""
    chain = Chain().start()
    chain.fail()
    assert mailbox.wait_for_mails(1)
    for _ in range(5):
        chain.stop()
        chain = Chain(chain.state)
        chain.start().fail()

    chain.succeed()

    assert mailbox.wait(lambda: _told(mailbox) == 6)
    assert ["First" in one for one in mailbox.subjects] == [True, False]


def test_long_name_of_a_release(mailbox: Mailbox, settings: Any) -> None:
    """Of whatever length, it is the same one in the next process."""
    settings.RUNNER = {"RELEASE": "registry.example.com/app@sha256:" + "0" * 100}
    chain = Chain().start()
    chain.fail()
    assert mailbox.wait_for_mails(1)
    chain.stop()
    chain = Chain(chain.state).start()
    chain.fail()
    chain.succeed()

    assert mailbox.wait_for_mails(2)
    assert "healed" in mailbox.subjects[1]


def test_no_thread_for_the_first_mail(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mail for which no thread was to be had is sent with the next failure."""
    chain = Chain().start()
    usual = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("runner-"):
            msg = "can't start new thread"
            raise RuntimeError(msg)
        usual(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        chain.fail()
    assert mailbox.mails == []

    chain.fail()

    assert mailbox.wait_for_mails(1)


def test_a_release_is_the_digest_of_the_sources(mailbox: Mailbox) -> None:
    """Without a setting, other sources of the tasks are another release."""
    chain = Chain().start()
    chain.fail()
    chain.stop()
    value = chain.state.get("notifications")
    assert value["release"].isalnum()
    chain.state.put("notifications", {**value, "release": "other"})
    Chain(chain.state).start().fail()

    assert mailbox.wait_for_mails(2)
    assert "New start:" in mailbox.mails[1].get_content()


@pytest.mark.parametrize(
    "value",
    [None, 7, "x", [], {"tasks": 7}, {"tasks": {"app.tasks.sync": 7}}, {"release": 1}],
)
def test_a_strange_section_is_no_hindrance(mailbox: Mailbox, value: Any) -> None:
    """Whatever the state holds, failures are told and recorded."""
    state = MemoryState()
    state.put("notifications", value)
    chain = Chain(state).start()
    chain.fail()
    chain.stop()

    assert mailbox.wait_for_mails(1)
    assert json.dumps(state.get("notifications"))


def test_what_is_not_delivered_is_kept_for_the_next_owner(
    settings: Any, subscriber: Subscriber
) -> None:
    """A chain that stops leaves what no server took to the next owner."""
    use_smtp(settings, free_port())
    chain = Chain().start()
    chain.fail()
    started_at = time.monotonic()
    chain.stop()
    assert time.monotonic() - started_at < FLUSH + 1
    assert subscriber.delivery._due == {}
    with smtp_server() as (mailbox, port):
        use_smtp(settings, port)
        Chain(chain.state).start()

        assert mailbox.wait_for_mails(1)
        assert "First exception caught" in mailbox.subjects[0]
        assert "Traceback" in mailbox.mails[0].get_content()


def test_the_decision_is_written_before_the_mail(settings: Any, tmp_path: Any) -> None:
    """What is due is in the file of the chain before a server is asked."""
    with RudeServer() as server:
        use_smtp(settings, server.port, timeout=5)
        path = tmp_path / "sync.json"
        Chain(FileState(path)).start().fail()
        assert server.arrived.acquire(timeout=10)
        document = json.loads(path.read_text())

        assert document["downtimes"]["app.tasks.sync"]["failures"] == 1
        assert document["notifications"]["tasks"] == {}


def test_a_dead_server_delays_nobody(settings: Any, subscriber: Subscriber) -> None:
    """While nobody listens, a failure takes milliseconds; later one mail has it all."""
    port = free_port()
    use_smtp(settings, port)
    chain = Chain().start()
    with log() as kept:
        chain.fail("one")
        # From now on nothing is tried for a while.
        until(lambda: "delivery_failed" in kept.actions())
    started_at = time.monotonic()
    for number in range(100):
        chain.fail(f"word {number % 3}")
    chain.succeed()
    assert time.monotonic() - started_at < 5
    # What was begun before says what was so before.
    until(lambda: subscriber.delivery._busy is None)
    with smtp_server(port) as (mailbox, _):
        assert mailbox.wait_for_mails(1)

        assert mailbox.subjects == ["[Django] [sync] Process healed"]
        body = mailbox.mails[0].get_content()
        assert "Also:                         First exception caught: word 0" in body
        assert "Failures since the last mail: 101" in body
        assert "     34 x ZeroDivisionError: word 0 (new)" in body
        assert "      1 x ZeroDivisionError: one (new)" in body


@pytest.mark.parametrize("answer", ["451 later", "554 never", "421 shutting down"])
def test_a_server_that_refuses(mailbox: Mailbox, answer: str) -> None:
    """What a server refuses, in whatever way, is sent until it takes it."""
    mailbox.answer = answer
    chain = Chain().start()
    chain.fail()
    assert mailbox.wait(lambda: mailbox.tries >= 3)
    mailbox.answer = "250 OK"

    assert mailbox.wait_for_mails(1)
    chain.stop()
    assert len(mailbox.mails) == 1


def test_a_server_that_hangs_up_after_the_data(mailbox: Mailbox) -> None:
    """A connection that drops in place of an answer is no delivery."""
    mailbox.hangs_up = True
    Chain().start().fail()
    assert mailbox.wait(lambda: mailbox.tries >= 2)
    mailbox.hangs_up = False

    assert mailbox.wait_for_mails(1)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_begins_with_nothing(
    settings: Any, subscriber: Subscriber
) -> None:
    """It tells nothing of its parent's, and tells what fails in itself."""
    with RudeServer() as server:
        use_smtp(settings, server.port)
        Chain().start().fail()
        assert server.arrived.acquire(timeout=10)
        with smtp_server() as (mailbox, port):
            pid = os.fork()
            if pid == 0:
                with contextlib.suppress(BaseException):
                    assert not subscriber._chains
                    assert not subscriber.delivery._due
                    use_smtp(settings, port)
                    Chain(name="other").start().fail()
                    subscriber.delivery.wait([("other", "app.tasks.other")], 20)
                    os._exit(0)
                os._exit(1)
            _, status = os.waitpid(pid, 0)

            assert os.waitstatus_to_exitcode(status) == 0
            assert mailbox.wait_for_mails(1)
            assert mailbox.subjects == [
                "[Django] [other] First exception caught: division by zero"
            ]


def test_what_is_owed_is_written_once(settings: Any) -> None:
    """While no mail can be sent, failures of one kind are not written one by one."""
    use_smtp(settings, free_port())
    chain = Chain().start()
    written = []
    put = chain.state.put

    def counting(section: str, value: Any, *, now: bool = False) -> None:
        written.append(now)
        put(section, value, now=now)

    chain.state.put = counting
    chain.fail("one")
    chain.fail("two")
    assert written.count(True) == 2
    for number in range(50):
        chain.execution.fail("two", said=f"two at {number}")

    assert written.count(True) == 2


def test_a_server_that_answers_late(
    mailbox: Mailbox, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has and takes after minutes is sent once, whatever the timeout is."""
    monkeypatch.setattr(delivery, "GIVE_UP", 0.3)
    assert mail.ANSWER_TIMEOUT == 600
    if django.VERSION >= (6, 1):
        settings.MAILERS["default"]["OPTIONS"]["timeout"] = 0.2
    else:
        settings.EMAIL_TIMEOUT = 0.2
    mailbox.delay = 1.0
    chain = Chain().start()
    chain.fail()

    assert mailbox.wait_for_mails(1)
    until(lambda: told_of(chain)["mails"] == 1)
    assert (mailbox.tries, told_of(chain)["copies"]) == (1, 0)


def test_a_server_that_never_answers(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What it has and may have taken is sent three times, then it counts as told."""
    monkeypatch.setattr(mail, "ANSWER_TIMEOUT", 0.2)
    mailbox.delay = 3_600.0
    chain = Chain().start()
    chain.fail()
    assert mailbox.wait_for_mails(1)
    until(lambda: told_of(chain).get("copies") == 1)
    chain.stop()
    chain = Chain(chain.state).start()

    assert mailbox.wait_for_mails(3)
    until(lambda: told_of(chain)["mails"] == 1)
    chain.fail()
    chain.fail()
    assert mailbox.tries == 3
    assert len({message["Message-ID"] for message in mailbox.mails}) == 1
    assert "3 times, and nobody said that it was taken" in caplog.text


def test_a_server_that_is_slow_before_the_data(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it cannot have is tried as often as it takes."""
    monkeypatch.setattr(mail, "TIMEOUT", 0.05)
    with RudeServer() as server:
        use_smtp(settings, server.port)
        chain = Chain().start()
        chain.fail()
        for _ in range(5):
            assert server.arrived.acquire(timeout=10)
        assert told_of(chain).get("copies", 0) == 0
        with smtp_server() as (mailbox, port):
            use_smtp(settings, port)

            assert mailbox.wait_for_mails(1)


def told_of(chain: Chain) -> dict[str, Any]:
    """What the state of a chain has of what was told by mail."""
    tasks = chain.state.get("notifications")["tasks"]
    return dict(tasks.get(chain.execution.key, {"mails": 0}))


@pytest.mark.parametrize("talk", [None, drip], ids=["silent", "dripping"])
def test_a_server_that_hangs(
    settings: Any, talk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that says nothing, or too little, neither delays nor loses anything."""
    monkeypatch.setattr(delivery, "GIVE_UP", 0.5)
    monkeypatch.setattr(mail, "TIMEOUT", 0.3)
    with RudeServer(talk) as server:
        use_smtp(settings, server.port)
        chain = Chain(fail_cooldown=timedelta(milliseconds=100)).start()
        started_at = time.monotonic()
        chain.fail()
        assert time.monotonic() - started_at < 0.4
        assert server.arrived.acquire(timeout=10)
        assert server.arrived.acquire(timeout=10)
        started_at = time.monotonic()
        chain.fail()
        assert time.monotonic() - started_at < 0.1
        with smtp_server() as (mailbox, port):
            use_smtp(settings, port)

            assert mailbox.wait_for_mails(1)


def test_a_timeout_of_its_own(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no setting has a timeout, the mail has; where one has, it counts."""
    seen: list[float | None] = []

    class Connection:
        timeout: float | None = None

        def send_messages(self, messages: list[Any]) -> int:
            seen.append(self.timeout)
            return 1

        def close(self) -> None:
            raise RuntimeError

    monkeypatch.setattr(mail, "_connection", Connection)
    chain = Chain().start()
    chain.fail("one")
    Connection.timeout = 7
    chain.fail("two")

    assert seen == [mail.TIMEOUT, 7]


def test_hundreds_of_different_failures(mailbox: Mailbox) -> None:
    """500 failures with 500 messages in seconds: a few mails, and each is counted."""
    chain = Chain(fail_cooldown=ZERO).start()
    for number in range(500):
        chain.fail(f"word {number}")
    chain.succeed()
    chain.stop()

    assert mailbox.wait(lambda: _told(mailbox) == 500)
    assert len(mailbox.mails) <= 7
    assert "Process healed" in mailbox.subjects[-1]
    assert "Failures in this downtime:    500" in mailbox.mails[-1].get_content()


def _told(mailbox: Mailbox) -> int:
    return sum(
        int(line.split(":")[1].split("(")[0])
        for message in mailbox.mails
        for line in message.get_content().splitlines()
        if line.startswith("Failures since the last mail:")
    )


def test_many_chains_at_once(mailbox: Mailbox) -> None:
    """Chains that fail at the same time are each told of, none waits for another."""
    chains = [Chain(name=f"sync{number}").start() for number in range(10)]
    threads = [threading.Thread(target=chain.fail) for chain in chains]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert mailbox.wait_for_mails(10)
    assert len(set(mailbox.subjects)) == 10


def test_no_settings_in_the_mail(mailbox: Mailbox, settings: Any) -> None:
    """Neither local variables nor the values of settings are in a mail."""
    settings.SECRET_KEY = "terribly-secret"
    Chain().start().fail()

    assert mailbox.wait_for_mails(1)
    assert "terribly-secret" not in mailbox.mails[0].as_string()


def blunt(text: str) -> str:
    """Mask what a project knows to be secret."""
    return text.replace("zero", "***")


def broken(text: str) -> str:
    raise LookupError(text)


@pytest.mark.parametrize(
    ("hook", "shown"),
    [
        (blunt, "division by ***"),
        ("tests.runner.test_mail.blunt", "division by ***"),
        ([blunt, str.upper], "DIVISION BY ***"),
        (broken, "(withheld, as RUNNER['REDACT'] failed: LookupError)"),
        ("no.such.function", "(withheld, as RUNNER['REDACT'] failed: Impro"),
    ],
)
def test_redacted_mails(mailbox: Mailbox, settings: Any, hook: Any, shown: str) -> None:
    """What RUNNER["REDACT"] makes of the texts is sent; where it fails, nothing is."""
    settings.RUNNER = {"REDACT": hook}
    Chain().start().fail()

    assert mailbox.wait_for_mails(1)
    assert f"First exception caught: {shown}" in mailbox.subjects[0]
    assert "by zero" not in mailbox.mails[0].get_content().lower()


@pytest.mark.parametrize(
    ("sender", "domain"),
    [
        ("root@localhost", "localhost"),
        ("Runner <runner@example.com>", "example.com"),
        ("odd@[::1]", "localhost"),
        ("nobody", "nobody"),
        ("", "localhost"),
        ("a@b\nBcc: x@y z", "localhost"),
    ],
)
def test_message_ids(sender: str, domain: str) -> None:
    """A Message-ID is one of the sender's domain, whatever the setting holds."""
    now = datetime.now(timezone.utc)
    report = Report("sync", "sync", "app.sync", now, (), Downtime(), Told())

    assert mail.headers(report, sender)["Message-ID"].endswith(f".0@{domain}>")


class Other(Notifier):
    """A channel that is not mail."""

    name = "other"
    label = "a line to the other channel"

    def __init__(self) -> None:
        self.reports: list[Report] = []

    def send(self, report: Report) -> None:
        self.reports.append(report)


def test_another_channel(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A channel of one's own is told what the admins are, and has its own log."""
    settings.ADMINS = []
    other = Other()
    subscriber = subscribe(other)
    chain = Chain().start()
    try:
        chain.fail()
        chain.stop()
    finally:
        subscriber.disconnect()
        abandon(subscriber.delivery)

    assert [report.subject for report in other.reports] == [
        "[sync] First exception caught: division by zero"
    ]
    assert "[sync] Sent a line to the other channel: First exception" in caplog.text
    assert chain.state.get("notifications")["tasks"] == {}
    told = chain.state.get("notifications.other")["tasks"]["app.tasks.sync"]
    assert (told["failures"], told["mails"]) == (1, 1)


def test_flapping_over_smtp(mailbox: Mailbox) -> None:
    """A task that fails and recovers in turns is told a few times, then summed up."""
    chain = Chain(
        fail_cooldown=ZERO,
        success_cooldown=ZERO,
        non_recoverable_downtime=SECOND,
    ).start()
    began = time.monotonic()
    while time.monotonic() - began < 1.5:
        chain.fail()
        chain.succeed()
        time.sleep(0.005)
    failures = chain.execution.downtime.failures
    chain.fail("another")
    assert mailbox.wait(lambda: _told(mailbox) == failures + 1)
    took = time.monotonic() - began

    assert len(mailbox.mails) <= 1 + 5 + 4 + 2 * math.ceil(took)


@pytest.mark.parametrize("never", [timedelta.max, timedelta(days=365 * 3_000)])
def test_no_reminders(mailbox: Mailbox, never: timedelta) -> None:
    """Who wants no reminder is told of everything else."""
    chain = Chain(non_recoverable_downtime=never).start()

    chain.fail()
    chain.fail("another")
    chain.succeed()

    assert mailbox.wait(lambda: _told(mailbox) == 2)
    assert mailbox.wait(lambda: "healed" in mailbox.subjects[-1])


def test_thread_that_is_renamed(mailbox: Mailbox, subscriber: Subscriber) -> None:
    """A chain is known by its own name, whatever a task calls the thread."""
    chain = Chain().start()
    chain.fail()

    chain.name = "renamed by the task"
    chain.stop()

    assert mailbox.wait(lambda: _told(mailbox) == 1)
    assert not subscriber._chains
