"""Failures that are the same share a key, failures that differ do not."""

from __future__ import annotations

import runpy
import sysconfig

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yourlabs.runner.failures import describe as module
from yourlabs.runner.failures.fingerprint import Frame, Raised, fingerprint, normalise

SAME = [
    ("id", "Order 17 not found", "Order 123456 not found"),
    ("negative", "balance is -5", "balance is 12"),
    ("float", "rate 0.25 refused", "rate 17.5e-3 refused"),
    ("thousands", "1,234 rows left", "56 rows left"),
    ("count and plural", "1 row affected", "12 rows affected"),
    ("list", "missing ids [1, 2, 3]", "missing ids [4]"),
    ("list with and", "rows 1, 2 and 3 are bad", "rows 1 and 9 are bad"),
    ("port", "connect to db:5432 refused", "connect to db:6543 refused"),
    ("errno", "[Errno 111] refused", "[Errno 104] refused"),
    ("ipv4", "no route to 10.0.0.1", "no route to 192.168.12.34"),
    ("ipv4 and port", "peer 10.0.0.1:4431 left", "peer 10.9.0.77:80 left"),
    ("network", "10.0.0.0/8 is full", "172.16.0.0/12 is full"),
    ("ipv6", "no route to fe80::1", "no route to 2001:db8:12::ff00:42"),
    ("ipv6 long", "no route to ::1", "no route to 2001:db8:1:2:3:4:5:6"),
    ("ipv6 and port", "peer [::1]:80 left", "peer [2001:db8::2]:8080 left"),
    ("address", "<Foo object at 0x7f3a12>", "<Foo object at 0xdeadbeef01>"),
    (
        "uuid",
        "job 6fa459ea-ee8a-3ca4-894e-db77e160355e lost",
        "job 16fd2706-8baf-433b-82eb-8c7fada847da lost",
    ),
    ("upper case uuid", "x 6FA459EA-EE8A-3CA4-894E-DB77E160355E", "x " + "1" * 9),
    ("hex", "token deadbeef01 unknown", "token 12ab34cd56 unknown"),
    ("hex of digits", "token 12345678 unknown", "token 1234abcd unknown"),
    ("git", "at commit 40cd6cf", "at commit 23486b2"),
    ("sha1", "blob " + "ab1" * 13 + "f", "blob " + "09c" * 13 + "0"),
    ("letters only", "md5 " + "abcdefab" * 4, "md5 " + "fedcba12" * 4),
    ("token", "session aZ3kP9qL2mX8vT unknown", "session b7Yt1Wq90Pz3nM unknown"),
    ("within a word", "worker12 died", "worker7 died"),
    ("within a name", "table tmp_12_34 is gone", "table tmp_9_1 is gone"),
    ("bytes", r"bad bytes b'\x00\x12'", r"bad bytes b'\xff'"),
    ("email", "no mailbox jo.doe+x@example.com", "no mailbox a@b.example.org"),
    ("url", "GET https://a.example/x?y=1 failed", "GET http://b.example:80/ failed"),
    ("url and comma", "GET http://a.example/x, again", "GET http://b.example, again"),
    ("dsn", "cannot use redis://u:p@h:1/0", "cannot use redis://other"),
    ("path", "no such file: /var/lib/a/b.txt", "no such file: /tmp/tmpx1_8z/c"),
    ("quoted path", "cannot open '/tmp/a b/1.txt'", "cannot open '/srv/zz'"),
    ("home", "cannot open ~/a.cfg", "cannot open ~/other/b.cfg"),
    ("dotted path", "cannot open ../a/b", "cannot open ./c"),
    ("relative path", "cannot open media/a/x.jpg", "cannot open media/b/yy.jpg"),
    ("windows path", r"cannot open C:\Users\jo\a.txt", r"cannot open D:\b.txt"),
    ("path and line", "failed at /srv/a.py:12", "failed at /srv/b/c.py:99"),
    ("date", "no data for 2026-11-21", "no data for 2025-01-02"),
    ("instant", "late since 2026-11-21T20:03:01.5+00:00", "late since 2026-01-02"),
    ("zulu", "late since 2026-11-21T20:03:01Z", "late since 2026-11-22 21:00"),
    ("local date", "no data for 21/11/2026", "no data for 1/2/2026"),
    ("german date", "no data for 21.11.2026", "no data for 01.02.2025"),
    ("rfc date", "at Sat, 21 Nov 2026 20:03:01 +0000", "at Mon, 2 Mar 2026 01:02 GMT"),
    ("ctime", "at Sat Nov 21 20:03:01 2026", "at Mon Mar  2 01:02:03 2026"),
    ("english date", "due November 21, 2026", "due May 2, 2027"),
    ("clock", "closed at 20:03", "closed at 9:15:22"),
    ("kitchen clock", "closed at 8:03 pm", "closed at 11:59 AM"),
    (
        "repr of an instant",
        "naive datetime.datetime(2026, 11, 21, 20, 3, tzinfo=zone(1))",
        "naive datetime.datetime(2025, 1, 2, 3, 4, 5)",
    ),
    ("duration", "timed out after 30s", "timed out after 1.5 seconds"),
    ("short duration", "took 12ms", "took 3 µs"),
    ("long duration", "down for 1 minute", "down for 3 days"),
    ("timedelta", "down for 1 day, 2:03:04", "down for 0:00:01.250000"),
    ("size", "needs 10 MB", "needs 512 kB"),
    ("other lines", "boom\nfirst detail", "boom\nsecond detail"),
    ("first line empty", "\n\n  boom", "boom"),
    ("spaces", "a   b\tc", "a b c"),
]

DIFFERENT = [
    ("word", "no such user", "no such group"),
    ("key", "'name'", "'email'"),
    ("column", "column price is missing", "column cost is missing"),
    ("kind of value", "bad value 5", "bad value /srv/x"),
    ("email is no url", "bad a@b.example", "bad http://b.example"),
    ("more words", "refused", "refused by the server"),
    ("case", "Timeout", "timeout"),
    ("operator", "unsupported for /: 'int'", "unsupported for *: 'int'"),
    ("type names", "not 'int' but 'str'", "not 'int' but 'list'"),
    ("module path", "No module named 'a.b'", "No module named 'a.c'"),
    ("no month", "market 5 is closed", "decade 5 is closed"),
    ("no unit", "5 mice", "5 hats"),
    ("second words", "12:30 not found", "12:30 is taken"),
    ("empty", "", "x"),
]

FRAMES = (
    Frame("app.tasks", "send", "deliver(mail)", True),
    Frame("smtplib", "sendmail", "raise Refused(code)", False),
)
RAISED = Raised("app.Refused", "refused", FRAMES)


@pytest.mark.parametrize(
    ("first", "second"), [row[1:] for row in SAME], ids=[row[0] for row in SAME]
)
def test_values_in_a_message_do_not_count(first: str, second: str) -> None:
    """Two messages that differ only in their values are one."""
    assert normalise(first) == normalise(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [row[1:] for row in DIFFERENT],
    ids=[row[0] for row in DIFFERENT],
)
def test_words_of_a_message_count(first: str, second: str) -> None:
    """Two messages that differ in their words are two."""
    assert normalise(first) != normalise(second)


def of(raised: Raised, **changes: object) -> str:
    return fingerprint([raised._replace(**changes)])  # type: ignore[arg-type]


def test_the_rule_has_a_version() -> None:
    """A fingerprint begins with the version of the rule that made it."""
    assert fingerprint([RAISED]).startswith("2:")


@pytest.mark.parametrize(
    "frames",
    [
        (FRAMES[0], FRAMES[1]._replace(source="something_else()")),
        (FRAMES[0],),
        (FRAMES[0]._replace(source="  deliver(mail)\n"), FRAMES[1]),
        (*(FRAMES[0],) * 900, FRAMES[1]),
        (*(FRAMES[0], FRAMES[1]) * 450,),
    ],
    ids=["library line", "no library", "indentation", "recursion", "mutual recursion"],
)
def test_the_same_way_through_the_application(frames: tuple[Frame, ...]) -> None:
    """Libraries, indentation and the depth of a recursion do not count."""
    assert of(RAISED, frames=frames) == fingerprint([RAISED])


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "app.Other"},
        {"message": "another word"},
        {"frames": (FRAMES[0]._replace(source="deliver(letter)"), FRAMES[1])},
        {"frames": (FRAMES[0]._replace(function="send_all"), FRAMES[1])},
        {"frames": (FRAMES[0]._replace(module="app.jobs"), FRAMES[1])},
        {"frames": (Frame("app.tasks", "run", "send()", True), *FRAMES)},
        {"frames": ()},
    ],
    ids=["type", "message", "line", "function", "module", "caller", "no frames"],
)
def test_another_failure(changes: dict[str, object]) -> None:
    """The type, the message's words and the way through the application count."""
    assert of(RAISED, **changes) != fingerprint([RAISED])


def test_the_cause_counts() -> None:
    """The same exception from another cause, or from none, is another one."""
    causes = [Raised("OSError", "full", ()), Raised("OSError", "read-only", ())]

    keys = {fingerprint([RAISED, *rest]) for rest in ([], causes[:1], causes[1:])}

    assert len(keys) == 3


def test_a_repeated_cause_counts_once() -> None:
    """However many times one thing was raised from itself, it is one failure."""
    again = Raised("app.Retry", "attempt 1 failed", ())

    assert fingerprint([RAISED, again]) == fingerprint(
        [RAISED, *(again._replace(message=f"attempt {n} failed") for n in range(99))]
    )


def test_all_frames_count_when_none_is_the_applications() -> None:
    """A failure within libraries alone is told apart by their frames."""
    library = RAISED._replace(frames=FRAMES[1:])

    assert fingerprint([library]) != of(library, frames=())


@given(st.text())
def test_any_text_is_normalised(text: str) -> None:
    """Any text has a normal form of one bounded line, which is stable."""
    line = normalise(text)

    assert "\n" not in line
    assert len(line) <= 5_000


@pytest.mark.parametrize(
    "unit", ["a", "a.", "1:", "a/", "::", "0x", "a@", " ", "1 ", "\n"]
)
@pytest.mark.timeout(20)
def test_no_message_takes_long(unit: str) -> None:
    """A message made to be slow is no slower than its length: others would hang."""
    assert len(normalise(unit * 1_000_000)) <= 5_000


def test_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python says where its library is: not each system has it in ``lib``."""
    monkeypatch.setattr(sysconfig, "get_path", lambda name: "/usr/lib64/python3.12")
    is_library = runpy.run_path(module.__file__)["is_library"]

    assert is_library("/usr/lib64/python3.12/json/decoder.py")
    assert is_library("/srv/venv/lib/python3.12/site-packages/requests/api.py")
    assert not is_library("/var/lib/python3-apps/shop/tasks.py")
    assert not is_library("/srv/yourlabs/runner/shop/jobs.py")
