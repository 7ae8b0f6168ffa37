"""Any exception becomes bounded text, quickly, and nothing of it is kept."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import gc
import linecache
import sys
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from yourlabs.runner.failures.describe import (
    MAX_MESSAGE,
    MAX_TRACEBACK,
    describe,
    forget,
)

EXCEPTION_GROUP = getattr(builtins, "ExceptionGroup", None)
"""None before Python 3.11."""

QUICK = pytest.mark.timeout(20)
"""A thousand times what it takes: work that grows with the square would hang."""


class Hostile(Exception):
    """Its text cannot be had."""

    def __init__(self, raised: BaseException) -> None:
        self.raised = raised

    def __str__(self) -> str:
        raise self.raised


class Untouchable(Exception):
    """No attribute of it can be had."""

    def __getattribute__(self, name: str) -> object:
        raise SystemExit(3)


def raise_it(exc: BaseException) -> None:
    raise exc


def dive(depth: int, action: Callable[[], object]) -> None:
    if depth:
        dive(depth - 1, action)
    else:
        action()


def caught(action: Callable[[], object]) -> BaseException:
    try:
        action()
    except BaseException as exc:
        return exc
    msg = "the action raised nothing"
    raise AssertionError(msg)


def chained(length: int) -> BaseException:
    exc: BaseException = OSError("the root")
    for number in range(length):
        above = ValueError(f"link {number}")
        above.__cause__ = exc
        exc = above
    return exc


def cyclic() -> BaseException:
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__context__ = second, first
    return first


def self_caused() -> BaseException:
    exc = ValueError("mine")
    exc.__cause__ = exc
    return exc


def group(size: int) -> BaseException:
    return EXCEPTION_GROUP("many", [ValueError(f"no {n}") for n in range(size)])


def nested(depth: int) -> BaseException:
    exc: Exception = ValueError("inmost")
    for _ in range(depth):
        exc = EXCEPTION_GROUP("layer", [exc])
    return exc


def noted() -> BaseException:
    exc = ValueError("bad")
    exc.__notes__ = ["look here", 7, "x" * 10_000_000]  # type: ignore[attr-defined]
    return exc


def wrongly_noted() -> BaseException:
    exc = ValueError("bad")
    exc.__notes__ = 7  # type: ignore[attr-defined]
    return exc


def recurse() -> None:
    recurse()


def ping() -> None:
    pong()


def pong() -> None:
    ping()


def strange_syntax_error() -> BaseException:
    exc = SyntaxError("bad")
    exc.filename, exc.lineno, exc.offset, exc.text = object(), "x", -3, 7  # type: ignore[assignment]
    return exc


class Text(str):
    """A string that misbehaves."""

    __slots__ = ()

    def __len__(self) -> int:
        raise KeyboardInterrupt


class SaysText(Exception):
    def __str__(self) -> str:
        return Text("odd")


has_groups = pytest.mark.skipif(sys.version_info < (3, 11), reason="no groups before")

ANY = {
    "plain": lambda: ValueError("bad"),
    "no message": lambda: ValueError(),
    "exit": lambda: SystemExit(1),
    "interrupt": lambda: KeyboardInterrupt(),
    "generator exit": lambda: GeneratorExit(),
    "cancelled": lambda: asyncio.CancelledError(),
    "memory": lambda: MemoryError(),
    "str raises": lambda: Hostile(ValueError("no")),
    "str exits": lambda: Hostile(SystemExit(4)),
    "untouchable": lambda: Untouchable(),
    "str subclass": lambda: SaysText(),
    "10 MB": lambda: ValueError("x" * 10_000_000),
    "10 MB of lines": lambda: ValueError("\n" * 10_000_000),
    "10 MB of snowmen": lambda: ValueError("\u2603" * 3_000_000),
    "10 MB of surrogates": lambda: ValueError("\ud800" * 10_000_000),
    "surrogates": lambda: ValueError("a\ud800b"),
    "nul": lambda: ValueError("a\0b"),
    "chain": lambda: chained(20_000),
    "cycle": cyclic,
    "own cause": self_caused,
    "syntax": lambda: caught(lambda: compile("a b" * 100_000, "f.py", "exec")),
    "strange syntax": strange_syntax_error,
    "decoding": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    "notes": noted,
    "wrong notes": wrongly_noted,
}


@pytest.mark.parametrize("make", ANY.values(), ids=ANY.keys())
@QUICK
def test_anything_is_described(make: Callable[[], BaseException]) -> None:
    """Whatever is raised has bounded, printable text and a key, and soon."""
    exc = caught(lambda: raise_it(make()))

    described = describe(exc)
    again = describe(exc)

    assert again == described
    assert len(described.message.encode()) <= MAX_MESSAGE
    assert len(described.traceback.encode()) <= MAX_TRACEBACK
    assert "\0" not in described.traceback + described.message
    assert described.fingerprint.startswith("2:")
    assert type(exc).__name__ in described.exception_type
    assert type(exc).__name__ in described.traceback
    assert type(described.message) is str


@has_groups
@pytest.mark.parametrize("make", [lambda: group(100_000), lambda: nested(900)])
@QUICK
def test_groups_are_described(make: Callable[[], BaseException]) -> None:
    """A group is described by its first members, however large or deep it is."""
    exc = caught(lambda: raise_it(make()))

    described = describe(exc)

    assert "ExceptionGroup" in described.traceback
    assert len(described.traceback.encode()) <= MAX_TRACEBACK


@has_groups
def test_a_group_shows_members_and_how_many_are_left_out() -> None:
    """The first members of a group are shown, the others are counted."""
    described = describe(group(100_000))

    assert "ValueError: no 0" in described.traceback
    assert "99995 exceptions left out" in described.traceback


@has_groups
def test_the_order_and_number_of_members_do_not_count() -> None:
    """Members come in the order in which they ended, which is chance."""
    one, other = ValueError("bad"), KeyError("x")

    keys = {
        describe(EXCEPTION_GROUP("g", members)).fingerprint
        for members in ([one, other], [other, one], [other, one, one])
    }

    assert len(keys) == 1


@has_groups
def test_members_of_a_large_group() -> None:
    """Neither their order nor the values in them count; each kind of them does."""
    kinds = [ValueError, KeyError, TypeError, OSError, IndexError, AttributeError]

    def key_of(order: range, *others: BaseException) -> str:
        members = [kinds[n](f"took {n * 7 % 11} s") for n in order]
        return describe(EXCEPTION_GROUP("g", [*members, *others])).fingerprint

    keys = {key_of(range(6)), key_of(range(5, -1, -1))}
    assert len(keys) == 1
    assert key_of(range(6), ZeroDivisionError()) not in keys


@has_groups
def test_members_of_nested_groups() -> None:
    """What is deeper counts and is shown as well, and what is not is counted."""
    members = [ValueError("one"), KeyError("two"), TypeError("three")]

    def layered(exceptions: list[Exception], depth: int = 2) -> Any:
        exc = EXCEPTION_GROUP("g", exceptions)
        for _ in range(depth):
            exc = EXCEPTION_GROUP("g", [exc])
        return describe(exc)

    described = layered(members)

    assert described.fingerprint == layered(members[::-1]).fingerprint
    assert all(word in described.traceback for word in ("one", "two", "three"))
    assert "3 exceptions left out" in layered(members, depth=3).traceback


@has_groups
def test_the_odd_member_of_a_large_group_is_shown() -> None:
    """However many come before it."""
    members = [TimeoutError("late") for _ in range(40)]

    described = describe(EXCEPTION_GROUP("g", [*members, ZeroDivisionError("bug")]))

    assert "  | ZeroDivisionError: bug" in described.traceback
    assert described.traceback.count("TimeoutError: late") == 4
    assert "36 exceptions left out" in described.traceback


def test_text_without_a_hash() -> None:
    """What `str()` of an exception returns may be anything that is text."""

    class Text(str):
        __hash__ = None  # type: ignore[assignment]

    class Failed(Exception):
        def __str__(self) -> str:
            return Text("no answer")

    described = describe(caught(lambda: raise_it(Failed())))

    assert described.message == "no answer"
    assert "in raise_it" in described.traceback


def test_it_reads_like_python() -> None:
    """A traceback has files, lines, source, causes, the type and the message."""

    def fail() -> None:
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError as exc:
            msg = "bad luck"
            raise ValueError(msg) from exc

    text = describe(caught(fail)).traceback

    assert text.startswith("Traceback (most recent call last):\n  File ")
    assert "in fail\n    1 / 0" in text
    assert "ZeroDivisionError: division by zero\n\nThe above exception was" in text
    assert text.endswith("\nValueError: bad luck\n")


def test_context_is_shown_unless_suppressed() -> None:
    """An exception raised while another was handled shows it, `from None` does not."""

    def during() -> None:
        try:
            raise_it(KeyError("first"))
        except KeyError:
            raise_it(ValueError("second"))

    def suppressed() -> None:
        try:
            raise_it(KeyError("first"))
        except KeyError:
            msg = "second"
            raise ValueError(msg) from None

    assert "During handling" in describe(caught(during)).traceback
    assert "first" not in describe(caught(suppressed)).traceback


def test_a_long_chain_shows_both_ends() -> None:
    """Of a chain of 20,000 causes the root, the last ones and the number are shown."""
    described = describe(chained(20_000))

    assert "OSError: the root" in described.traceback
    assert "ValueError: link 19999" in described.traceback
    assert "19989 exceptions left out" in described.traceback
    assert described.exception_type == "builtins.ValueError"
    assert described.message == "link 19999"


def test_notes_are_shown() -> None:
    """What was added with add_note() stands below the message."""
    assert "ValueError: bad\nlook here\n" in describe(noted()).traceback


def test_syntax_errors_point_at_the_place() -> None:
    """A SyntaxError shows the file, the line, and where in it."""
    exc = caught(lambda: compile("x = 1\n  y = = 2\n", "some.py", "exec"))

    assert 'File "some.py", line 2\n    y = = 2' in describe(exc).traceback


def test_no_message_and_builtins() -> None:
    """An exception without a message is shown by its name alone."""
    described = describe(ValueError())

    assert described.traceback == "ValueError\n"
    assert described.exception_type == "builtins.ValueError"
    assert described.message == ""


def test_local_variables_are_not_shown() -> None:
    """No value of a local variable is in the text."""

    def fail() -> None:
        password = "s3cret" * 2
        raise ValueError(len(password))

    assert "s3cret" * 2 not in describe(caught(fail)).traceback


def test_recursion_depth_does_not_count() -> None:
    """A recursion of any depth, direct or mutual, has one key."""
    limit = sys.getrecursionlimit()
    keys = {"direct": set(), "mutual": set()}  # type: dict[str, set[str]]
    for extra in (0, 1, 50):
        sys.setrecursionlimit(limit + extra)
        keys["direct"].add(describe(caught(recurse)).fingerprint)
        keys["mutual"].add(describe(caught(ping)).fingerprint)
    sys.setrecursionlimit(limit)

    assert len(keys["direct"]) == 1
    assert len(keys["mutual"]) == 1
    assert keys["direct"] != keys["mutual"]


def test_a_recursion_error_is_cut() -> None:
    """A traceback of a thousand frames says what it omits."""
    exc = caught(ping)

    described = describe(exc)

    assert "frames left out" in described.traceback


SOURCE = """
def work():
    fail()

def fail():
    raise ValueError("row 1")
"""


def run_source(directory: object, source: str) -> str:
    path = f"{directory}/job.py"
    with open(path, "w") as file:
        file.write(source)
    # As in another process: this one remembers the source that it has shown.
    linecache.clearcache()
    names: dict[str, object] = {"__name__": "job"}
    exec(compile(source, path, "exec"), names)
    return describe(caught(names["work"])).fingerprint  # type: ignore[arg-type]


def test_lines_shift_without_consequence(tmp_path: object) -> None:
    """Lines added above, or another value in the message, change no key."""
    keys = {
        run_source(tmp_path, source)
        for source in (
            SOURCE,
            "# new\n\n\n" + SOURCE,
            SOURCE.replace("def f", "\ndef f"),
        )
    }

    assert len(keys) == 1


def test_an_edited_line_is_another_failure(tmp_path: object) -> None:
    """Editing the line that fails changes the key."""
    edited = SOURCE.replace("raise ValueError", "raise  ( ValueError) or ValueError")

    assert run_source(tmp_path, SOURCE) != run_source(tmp_path, edited)


def test_a_file_that_is_edited_under_a_process(tmp_path: Path) -> None:
    """Its failures stay the same: what was written later is not what runs."""
    path = tmp_path / "job.py"
    path.write_text(SOURCE)
    names: dict[str, Any] = {"__name__": "job"}
    exec(compile(SOURCE, str(path), "exec"), names)
    before = describe(caught(names["work"]))
    path.write_text("# another release\n" + SOURCE)

    assert describe(caught(names["work"])) == before


def test_code_without_source() -> None:
    """Frames of code that was made of a string are described without their lines."""
    names: dict[str, object] = {}
    exec("def work():\n    raise ValueError('bad')", names)

    described = describe(caught(names["work"]))  # type: ignore[arg-type]

    assert 'File "<string>", line 2, in work' in described.traceback


def test_the_runners_own_frames_are_left_out() -> None:
    """A traceback begins with the task, not with what called it."""
    names = {"__name__": "yourlabs.runner.chain.thread"}
    exec("def call(task):\n    task()", names)
    call = names["call"]

    described = describe(caught(lambda: call(recurse)))  # type: ignore[operator]
    direct = describe(caught(recurse))

    assert "in call" not in describe(_without_first(call)).traceback
    assert described.fingerprint != "" != direct.fingerprint


def _without_first(call: object) -> BaseException:
    exc = caught(lambda: call(lambda: raise_it(ValueError("bad"))))  # type: ignore[operator]
    # What caught() and the lambda above add is not there in a chain's thread.
    assert exc.__traceback__ is not None
    return exc.with_traceback(exc.__traceback__.tb_next.tb_next)  # type: ignore[union-attr]


class Kept:
    """Something that a failing function holds."""


def test_nothing_is_kept() -> None:
    """After forget() neither the exception nor an object of its frames is alive."""
    seen: list[weakref.ref[Kept]] = []

    def fail() -> None:
        kept = Kept()
        seen.append(weakref.ref(kept))
        raise_it(ValueError("bad"))

    exc = caught(lambda: dive(10, fail))
    describe(exc)
    forget(exc)

    assert seen[0]() is None
    assert exc.__traceback__ is None


def test_nothing_of_a_chain_is_kept() -> None:
    """The frames of causes, contexts and members are let go of as well."""
    seen: list[weakref.ref[Kept]] = []

    def fail() -> None:
        kept = Kept()
        seen.append(weakref.ref(kept))
        raise_it(ValueError("bad"))

    def fail_above() -> None:
        try:
            fail()
        except ValueError as exc:
            msg = "above"
            raise KeyError(msg) from exc

    exc = caught(fail_above)
    forget(exc)

    assert seen[0]() is None
    assert exc.__cause__ is not None
    assert exc.__cause__.__traceback__ is None


@pytest.mark.parametrize("make", ANY.values(), ids=ANY.keys())
@QUICK
def test_forget_never_raises(make: Callable[[], BaseException]) -> None:
    """Anything can be forgotten, and soon."""
    exc = caught(lambda: raise_it(make()))

    forget(exc)


def test_what_goes_on_is_not_ended() -> None:
    """A generator or a coroutine that handed the exception on is left alone."""
    caught_here: list[BaseException] = []

    def work() -> Iterator[None]:
        while True:
            try:
                raise_it(ValueError("bad"))
            except ValueError as exc:
                caught_here.append(exc)
            yield

    async def works() -> None:
        for _ in work():
            await asyncio.sleep(0)

    worker, coroutine = work(), works()
    next(worker)
    with contextlib.closing(coroutine):
        coroutine.send(None)

        for exc in caught_here:
            forget(exc)

        next(worker)
        coroutine.send(None)
    assert len(caught_here) == 4


def test_memory_is_flat() -> None:
    """Thousands of failures with thousands of messages leave no trace."""

    def fail_many(first: int, last: int) -> None:
        for number in range(first, last):
            error = OSError(f"{number} a" * 99)
            exc = caught(partial(dive, 5, partial(raise_it, error)))
            describe(exc)
            forget(exc)

    fail_many(0, 150)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    fail_many(150, 800)
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert after - before < 600_000
