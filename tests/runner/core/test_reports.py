"""What a mail says, and that it is always one that can be sent."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email.header import Header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yourlabs.runner.failures.records import ExceptionCount
from yourlabs.runner.notify.report import (
    MAX_BODY,
    MAX_SUBJECT,
    PHRASES,
    Evidence,
    Kind,
    Reason,
    Report,
    duration,
)

AT = datetime(2026, 11, 21, 20, 3, 4, tzinfo=timezone.utc)
FIRST = Reason(Kind.FIRST, 1, AT, "division by zero", "1:a")
EVIDENCE = Evidence(
    "builtins.ZeroDivisionError",
    "division by zero",
    "Traceback (most recent call last):\n  …\nZeroDivisionError: division by zero\n",
    "1:a",
    AT,
    "web1, pid 17, release 3",
)
REPORT = Report(
    chain="sync_clean",
    task="sync",
    at=AT,
    reasons=(FIRST,),
    is_down=True,
    down_since=AT - timedelta(hours=3),
    downtime=timedelta(hours=3),
    consecutive=37,
    failures=19,
    since=AT - timedelta(minutes=90),
    exceptions=(
        ExceptionCount("builtins.ZeroDivisionError", "division by zero", "1:a", 3),
        ExceptionCount("app.Refused", "no", "1:b", 15),
    ),
    evidence=EVIDENCE,
    next_at=AT + timedelta(hours=9),
    where="web1, pid 17, release 3",
)


def reasons(*kinds: Kind) -> tuple[Reason, ...]:
    return tuple(
        Reason(kind, number, AT, "bad luck" if kind is Kind.NEW else "")
        for number, kind in enumerate(kinds)
    )


@pytest.mark.parametrize(
    ("kinds", "text"),
    [
        ([Kind.NEW], "New exception caught: bad luck"),
        ([Kind.REACHED], "Non recoverable downtime reached"),
        ([Kind.REACHED_AGAIN], "Non recoverable downtime reached again"),
        ([Kind.HEALED], "Process healed"),
        ([Kind.STALLED], "Task stalled"),
        ([Kind.NEW, Kind.NEW], "New exception caught: bad luck (and 1 more)"),
        ([Kind.HEALED, Kind.NEW], "New exception caught: bad luck; Process healed"),
    ],
)
def test_subjects(kinds: list[Kind], text: str) -> None:
    """A subject names the task and every reason, the gravest first."""
    assert replace(REPORT, reasons=reasons(*kinds)).subject == f"[sync] {text}"


def test_every_reason_has_a_phrase() -> None:
    """No kind of reason is left out of a subject."""
    assert set(Kind) == set(PHRASES)


def test_the_first_exception() -> None:
    """The subject of the documented example is the documented one."""
    assert REPORT.subject == "[sync] First exception caught: division by zero"


def test_flapping_is_in_the_subject() -> None:
    """The subject of a task that fails and recovers in turns says so."""
    report = replace(REPORT, is_flapping=True, reasons=reasons(Kind.HEALED))

    assert report.subject == "[sync] Flapping: Process healed"


def test_the_first_screen_says_it_all() -> None:
    """What is broken, since when, how often, what is new, and when the next mail is."""
    screen = "\n".join(REPORT.body.split("\n")[:24])

    assert screen.startswith("sync is down.\n")
    for line in (
        "What happened:                First exception caught: division by zero",
        "Exception:                    ZeroDivisionError",
        "Down since:                   2026-11-21 17:03:04 UTC",
        "Downtime:                     3 hours",
        "Failures in this downtime:    37",
        "Failures since the last mail: 19 (one every 5 minutes)",
        "Next mail:                    2026-11-22 05:03:04 UTC if it is still down",
        "Chain:                        sync_clean",
        "Where:                        web1, pid 17, release 3",
        "     15 x app.Refused: no",
        "      3 x ZeroDivisionError: division by zero",
        "      1 x others",
    ):
        assert line in screen


def test_the_traceback_is_at_the_end() -> None:
    """Below what matters stands the traceback."""
    assert REPORT.body.endswith("\nZeroDivisionError: division by zero\n")


@pytest.mark.parametrize(
    ("changes", "headline"),
    [
        ({"is_down": False, "reasons": reasons(Kind.HEALED)}, "sync works again."),
        ({"is_down": False, "reasons": reasons(Kind.STALLED)}, "sync hangs: "),
        ({"is_down": False, "reasons": reasons(Kind.RESUMED)}, "The run of sync that"),
        ({"is_flapping": True}, "sync fails and recovers in turns; now it is down."),
        (
            {"is_flapping": True, "is_down": False},
            "sync fails and recovers in turns; now it is up.",
        ),
    ],
)
def test_headlines(changes: dict[str, object], headline: str) -> None:
    """The first line says how the task fares now."""
    assert replace(REPORT, **changes).body.startswith(headline)  # type: ignore[arg-type]


def test_a_recovery_says_when_it_was_down() -> None:
    """The mail of a recovery has the beginning and the end of the downtime."""
    body = replace(REPORT, is_down=False, reasons=reasons(Kind.HEALED)).body

    assert "Down since:                   2026-11-21 17:03:04 UTC" in body
    assert "Up since:                     2026-11-21 20:03:04 UTC" in body
    assert "Next mail:                    when something happens." in body


def test_a_stall_shows_the_stack() -> None:
    """The mail of a run that hangs shows where."""
    report = replace(REPORT, stack="  File x, line 3", reasons=reasons(Kind.STALLED))

    assert "Where the run hung" in report.body
    assert report.body.endswith("  File x, line 3\n")


@given(st.text(), st.text(), st.text())
def test_any_text_can_be_sent(task: str, message: str, traceback: str) -> None:
    """Whatever the names and messages are, the mail is one that can be sent."""
    report = replace(
        REPORT,
        task=task,
        reasons=(FIRST._replace(message=message),),
        evidence=EVIDENCE._replace(message=message, traceback=traceback),
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
        reasons=(FIRST._replace(message=text * 1_000_000),) * 50,
        exceptions=(ExceptionCount("a" * 9_000, text * 9_000, "1:a", 1),) * 50,
        evidence=EVIDENCE._replace(traceback=text * 100_000),
        stack=text * 100_000,
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
