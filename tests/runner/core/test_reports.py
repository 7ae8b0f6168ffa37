"""What a mail says, and that it is always one that can be sent."""

from __future__ import annotations

import sysconfig
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email.header import Header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yourlabs.runner.failures.downtime import Downtime, Hang, Latest, Tally
from yourlabs.runner.notify.mail_text import (
    MAX_BODY,
    MAX_SUBJECT,
    PHRASES,
    Report,
    duration,
    own_frame,
    redacted,
)
from yourlabs.runner.notify.throttle import Kind, Reason
from yourlabs.runner.notify.told import Told, started_anew

AT = datetime(2026, 11, 21, 20, 3, 4, tzinfo=timezone.utc)
NOW = AT.timestamp()
LATEST = Latest(
    "builtins.ZeroDivisionError",
    "division by zero",
    "Traceback (most recent call last):\n  …\nZeroDivisionError: division by zero\n",
    "2:a",
    NOW,
)
WHAT = Downtime(
    is_down=True,
    since=NOW - 3 * 3_600,
    lasted=3 * 3_600.0,
    consecutive=37,
    failures=137,
    recoveries=4,
    seen=(
        Tally("app.Refused", "no", "2:b", 20),
        Tally("builtins.ZeroDivisionError", "division by zero", "2:a", 5),
    ),
    latest=LATEST,
)
TOLD = Told(
    is_down=True,
    failures=118,
    recoveries=4,
    counts={"2:a": 2, "2:b": 5},
    known=("2:b",),
    since=WHAT.since,
    at=NOW - 95 * 60,
    mails=3,
    thread="1.0",
    position=2,
)
REPORT = Report(
    chain="sync_clean",
    task="sync",
    path="app.tasks.sync",
    at=AT,
    reasons=(Reason(Kind.FIRST, "division by zero"),),
    what=WHAT,
    told=TOLD,
    next_at=AT + timedelta(hours=9),
    where="web1, pid 17, release 3",
)
STACK = """  File "/usr/lib/python3.12/threading.py", line 1, in run
    self.func()
  File "/srv/shop/tasks.py", line 3, in sync
    client.get(URL)
  File "/srv/venv/lib/python3.12/site-packages/requests/api.py", line 9, in get
    return request()
"""
HANGING = replace(WHAT, hangs=True, stalls=1, hang=Hang(NOW - 720, 600.0, 600.5, STACK))
UP = replace(WHAT, is_down=False, recoveries=5)
FLAPPING = replace(UP, recoveries=11)


def reasons(*kinds: Kind) -> tuple[Reason, ...]:
    return tuple(Reason(kind, "bad luck" if kind is Kind.NEW else "") for kind in kinds)


@pytest.mark.parametrize(
    ("kinds", "text"),
    [
        ([Kind.NEW], "New exception caught: bad luck"),
        ([Kind.REACHED], "Non recoverable downtime reached"),
        ([Kind.REACHED_AGAIN], "Non recoverable downtime reached again"),
        ([Kind.HEALED], "Process healed"),
        ([Kind.STALLED], "Task stalled"),
        ([Kind.HEALED, Kind.NEW], "Process healed"),
        ([Kind.NEW, Kind.REACHED], "New exception caught: bad luck"),
    ],
)
def test_subjects(kinds: list[Kind], text: str) -> None:
    """A subject names the task and one reason, the first."""
    report = replace(REPORT, reasons=reasons(*kinds))

    assert report.subject == f"[sync] {text}"
    assert report.reason == text


def test_every_reason_has_a_phrase() -> None:
    """No kind of reason is left out of a subject."""
    assert set(Kind) == set(PHRASES)


def test_the_first_exception() -> None:
    """The subject of the documented example is the documented one."""
    assert REPORT.subject == "[sync] First exception caught: division by zero"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("first\nsecond", "first"),
        ("\n\n  indented\nmore", "indented"),
        ("no route to <Host object at 0x7F12ab>", "no route to <Host object>"),
        ("evil \u202e\u200b \x1b[2J", "evil \\u202e\\u200b \\x1b[2J"),
        ("", ""),
    ],
)
def test_messages_in_subjects(message: str, shown: str) -> None:
    """The first line, without addresses; what cannot be seen is spelled out."""
    report = replace(REPORT, reasons=(Reason(Kind.FIRST, message),))
    expected = f"[sync] First exception caught: {shown}".removesuffix(": ")

    assert report.subject == expected


def test_further_reasons() -> None:
    """They stand in the first lines of the body, one on a line."""
    report = replace(REPORT, what=UP, reasons=reasons(Kind.HEALED, Kind.NEW))

    assert report.body.split("\n")[:4] == [
        "sync works again.",
        "",
        "What happened:                Process healed",
        "Also:                         New exception caught: bad luck",
    ]


def test_the_first_screen_says_it_all() -> None:
    """What is broken, since when, how often, what is new, and when the next mail is."""
    assert REPORT.body == (
        "sync is down.\n"
        "\n"
        "What happened:                First exception caught: division by zero\n"
        "Task:                         app.tasks.sync\n"
        "Exception:                    ZeroDivisionError\n"
        "Message:                      division by zero\n"
        "Down since:                   2026-11-21 17:03:04 UTC\n"
        "Downtime:                     3 hours\n"
        "Failures in this downtime:    37\n"
        "Failures since the last mail: 19 (one every 5 minutes)\n"
        "Next mail:                    2026-11-22 05:03:04 UTC if it is still down, or "
        "sooner.\n"
        "Chain:                        sync_clean\n"
        "Where:                        web1, pid 17, release 3\n"
        "\n"
        "Exceptions since the last mail:\n"
        "     15 x app.Refused: no\n"
        "      3 x ZeroDivisionError: division by zero (new)\n"
        "      1 x others\n"
        "\n"
        "Failure at 2026-11-21 20:03:04 UTC:\n"
        "\n"
        "Traceback (most recent call last):\n"
        "  …\n"
        "ZeroDivisionError: division by zero\n"
    )


@pytest.mark.parametrize(
    ("changes", "headline"),
    [
        ({"what": UP, "reasons": reasons(Kind.HEALED)}, "sync works again."),
        ({"what": HANGING, "reasons": reasons(Kind.STALLED)}, "sync hangs: "),
        ({"what": UP, "reasons": reasons(Kind.RESUMED)}, "The run of sync that"),
        ({"reasons": reasons(Kind.FIRST, Kind.RESUMED)}, "sync is down.\n"),
        (
            {"retry": timedelta(minutes=20)},
            "sync is down. It is tried again 20 minutes after each failure.\n",
        ),
        (
            {"what": FLAPPING, "reasons": reasons(Kind.HEALED)},
            "sync works again. It flaps: it went down 7 times since the last mail.\n",
        ),
        (
            {"what": replace(FLAPPING, is_down=True)},
            "sync is down. It flaps: it went down 8 times since the last mail.\n",
        ),
    ],
)
def test_headlines(changes: dict[str, object], headline: str) -> None:
    """The first line says how the task fares now."""
    assert replace(REPORT, **changes).body.startswith(headline)  # type: ignore[arg-type]


def test_a_recovery_says_when_it_was_down() -> None:
    """The mail of a recovery has the beginning and the end of the downtime."""
    body = replace(REPORT, what=UP, reasons=reasons(Kind.HEALED)).body

    assert "Down since:                   2026-11-21 17:03:04 UTC" in body
    assert "Up since:                     2026-11-21 20:03:04 UTC" in body
    assert "\nLast exception:               ZeroDivisionError\n" in body
    assert "\nException:" not in body
    assert "Next mail:                    when something happens." in body


def test_a_recovery_without_failures() -> None:
    """Where nothing failed since the last mail, the old traceback is not repeated."""
    told = replace(TOLD, failures=WHAT.failures)
    body = replace(REPORT, what=UP, told=told, reasons=reasons(Kind.HEALED)).body

    assert "Failures since the last mail: 0" in body
    assert "Traceback" not in body


def test_one_exception_is_shown_once() -> None:
    """Where all failures are the one that is shown, no list says it again."""
    seen = (Tally("builtins.ZeroDivisionError", "division by zero", "2:a", 21),)
    report = replace(REPORT, what=replace(WHAT, seen=seen))

    assert "Failures since the last mail: 19" in report.body
    assert "Exceptions since" not in report.body


def test_a_stall() -> None:
    """The mail says for how long, what the limit is, and where in the project."""
    what = replace(HANGING, is_down=False)
    body = replace(REPORT, what=what, reasons=reasons(Kind.STALLED)).body

    assert body.startswith(
        "sync hangs: a run takes longer than it may.\n"
        "\n"
        "What happened:                Task stalled\n"
        "Task:                         app.tasks.sync\n"
        'Hangs in:                     File "/srv/shop/tasks.py", line 3, in sync: '
        "client.get(URL)\n"
        "Running since:                2026-11-21 19:51:04 UTC\n"
        "Running for:                  12 minutes\n"
        "Limit (max_duration):         10 minutes\n"
    )
    assert "Where the run hung, the last call at the end:" in body
    assert body.endswith("    return request()\n")


@pytest.mark.parametrize(
    ("took", "end"),
    [(1_500.0, "after 25 minutes"), (None, "with its process")],
)
def test_the_end_of_a_stall(took: float | None, end: str) -> None:
    """The subject says how long the run took, where that is known."""
    what = replace(HANGING, is_down=False).hang_ended(took)
    report = replace(REPORT, what=what, reasons=reasons(Kind.RESUMED))

    assert report.subject == f"[sync] Stalled task ended: {end}"
    assert ("It took:                      25 minutes" in report.body) == bool(took)


def test_own_frame() -> None:
    """It is the last call in the project; where there is none, none is shown."""
    assert own_frame(STACK) == (
        'File "/srv/shop/tasks.py", line 3, in sync: client.get(URL)'
    )
    assert own_frame("(the thread is gone)") == ""
    # Where a project lets no stack be mailed.
    assert own_frame("") == ""


@pytest.mark.parametrize(
    ("path", "is_shown"),
    [
        (own_frame.__code__.co_filename, False),
        (f"{sysconfig.get_path('stdlib')}/json/decoder.py", False),
        ("/var/lib/python3-apps/shop/jobs.py", True),
    ],
)
def test_frames_of_the_project(path: str, is_shown: bool) -> None:
    """A project may be where its path looks like one of Python, or of the runner."""
    line = f'File "{path}", line 3, in sync'

    assert own_frame(line) == (line if is_shown else "")


def test_a_new_start_is_explained() -> None:
    """A failure that was told before is told again for a reason, which is said."""
    report = replace(REPORT, told=replace(TOLD, start="release 2, it was 1"))

    assert "New start:                    release 2, it was 1" in report.body


def test_known_exceptions_at_a_new_start() -> None:
    """What failed as before, until a new start, is no other exception."""
    told = started_anew(replace(TOLD, known=("2:a",), mails=1), WHAT, "release 2")
    healed = replace(REPORT, what=UP, told=told, reasons=reasons(Kind.HEALED))
    again = replace(healed, what=UP.failed(LATEST, lasted=0))
    refused = replace(LATEST, fingerprint="2:c", message="refused")
    other = replace(again, what=again.what.failed(refused, lasted=0))

    told_all = replace(told, counts={"2:a": 5, "2:b": 20})
    for report in (healed, again):
        assert "Exceptions since" not in replace(report, told=told_all).body
    lines = replace(other, told=told_all).body.splitlines()
    assert "     19 x known before the new start" in lines
    assert not [line for line in lines if "others" in line]


def test_thread() -> None:
    """A conversation goes on while the reader believes that the task is down."""
    closed = replace(REPORT, told=replace(TOLD, is_down=False))

    assert (REPORT.thread, REPORT.position) == ("1.0", 2)
    assert closed.thread != "1.0"
    assert closed.position == 0


def test_moments_beyond_the_calendar() -> None:
    """Periods of thousands of years make a mail like any other."""
    what = replace(WHAT, since=1e14, lasted=1e14)

    assert replace(REPORT, what=what).body


def test_redacted() -> None:
    """Secrets are masked wherever they are, and what the project masks is, too."""
    secret = "postgres://app:hunter2@db/shop of ACME"
    what = replace(
        HANGING,
        latest=replace(LATEST, message=secret, traceback=f"in {secret}"),
        seen=(Tally("E", secret, "2:c", 3),),
        hang=Hang(NOW, 1, 2, f"at {secret}"),
    )
    shown = redacted(what, lambda text: text.replace("ACME", "<customer>"))
    report = replace(REPORT, what=shown, reasons=reasons(Kind.STALLED))

    assert "hunter2" not in report.body
    assert "ACME" not in report.body
    assert report.body.count("postgres://app:***@db/shop of <customer>") == 4


@given(st.text(), st.text(), st.text())
def test_any_text_can_be_sent(task: str, message: str, traceback: str) -> None:
    """Whatever the names and messages are, the mail is one that can be sent."""
    latest = replace(LATEST, message=message, traceback=traceback)
    report = replace(
        REPORT,
        task=task,
        reasons=(Reason(Kind.FIRST, message),),
        what=replace(WHAT, latest=latest),
    )

    assert len(report.subject) <= MAX_SUBJECT
    assert report.subject.splitlines() == [report.subject]
    assert Header(report.subject, "utf-8").encode()
    assert len(report.body.encode()) <= MAX_BODY + 1
    assert "\0" not in report.body


@pytest.mark.parametrize("text", ["x", "\n", "\u2603", "a\r\nBcc: x@example.com\r\n"])
def test_long_texts_are_cut(text: str) -> None:
    """Megabytes of text make a mail of ordinary size, and no line of the header."""
    report = replace(
        REPORT,
        task="sync" + text * 100,
        reasons=(Reason(Kind.FIRST, text * 1_000_000),),
        what=replace(
            HANGING,
            latest=replace(LATEST, traceback=text * 100_000, message=text * 9_000),
            seen=(Tally("a" * 9_000, text * 9_000, "2:a", 1),) * 20,
            hang=Hang(NOW, 1, 2, text * 100_000),
        ),
    )

    assert len(report.subject) <= MAX_SUBJECT
    assert "\n" not in report.subject
    assert "\r" not in report.subject
    assert len(report.body.encode()) <= 100_000


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 seconds"),
        (0, "0 seconds"),
        (0.04, "0 seconds"),
        (0.25, "0.2 seconds"),
        (1.003, "1 second"),
        (9.96, "10 seconds"),
        (59, "59 seconds"),
        (61, "1 minute 1 second"),
        (3_600, "1 hour"),
        (90_061, "1 day 1 hour"),
        (64 * 3_600, "2 days 16 hours"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    """A duration is said with two units at the most."""
    assert duration(timedelta(seconds=seconds)) == words
