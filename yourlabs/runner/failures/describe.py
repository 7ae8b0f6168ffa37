"""
Turn an exception into plain text and a fingerprint, and let go of it.

Whatever the exception is, this takes milliseconds, never raises, and keeps neither
the exception nor its frames. Safe to use in any thread.
"""

from __future__ import annotations

import inspect
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from linecache import getline
from types import FrameType, TracebackType

from yourlabs.runner.failures.fingerprint import Frame, Raised, fingerprint, signature
from yourlabs.runner.failures.text import cut, printable

MAX_TRACEBACK = 20_000
"""Longest text of a traceback, in bytes of UTF-8."""

MAX_MESSAGE = 10_000
"""Longest message, in bytes of UTF-8."""

MAX_LINE = 500
"""Longest name and line of source that takes part in a fingerprint, in characters."""

MAX_LINKS = 12
"""How many exceptions of a chain of causes are shown, or tell it from others."""

MAX_MEMBERS, MAX_DEPTH = 5, 3
"""How many exceptions of a group are shown, and of how many groups in groups."""

MAX_COUNTED = 100
"""How many exceptions of a group tell it from others; fewer of the groups in it."""

MAX_CHAIN = 100_000
"""A chain of causes is followed no further."""

FIRST_FRAMES, LAST_FRAMES = 30, 50
"""How many frames are shown of a traceback that has more."""

MAX_FRAMES = 200
"""How many distinct frames of a traceback take part in the fingerprint."""

_MAY_GO_ON = (
    inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
    if sys.version_info < (3, 13)
    else 0
)
"""
Flags of code whose frame may be suspended, by somebody who caught the exception.

Up to Python 3.12 to clear such a frame ends it; a later one refuses.
"""

_LIBRARIES = tuple(
    {sysconfig.get_path(name).rstrip("/") + "/" for name in ("stdlib", "platstdlib")}
)


@dataclass(frozen=True)
class Described:
    """An exception as plain facts."""

    exception_type: str
    """Dotted path of the class."""
    message: str
    """`str(exception)`, printable and bounded."""
    traceback: str
    """As Python prints it, bounded at both ends, without local variables."""
    fingerprint: str
    """Key that equal failures share."""


def describe(exc: BaseException) -> Described:
    """
    Return what is to be told of `exc`.

    Returns:
        At most `MAX_MESSAGE` and `MAX_TRACEBACK` bytes of text. The frames of the
        runner itself, with which the traceback of a task begins, are left out.
    """
    try:
        text = cut(printable(_text(exc)), MAX_TRACEBACK, head=0.4)
        raised = _raised(exc)
        return Described(raised[0].type, raised[0].message, text, fingerprint(raised))
    except BaseException:
        # A hostile class can make anything raise, even SystemExit, and the chain
        # has to go on.
        return _describe_type(exc)


def _describe_type(exc: BaseException) -> Described:
    try:
        name = printable(f"{type.__dict__['__name__'].__get__(type(exc))}")[:200]
    except BaseException:
        name = "BaseException"
    message = "<the exception cannot be described>"
    key = fingerprint([Raised(name, message, ())])
    return Described(name, message, f"{name}: {message}\n", key)


def forget(exc: BaseException) -> None:
    """
    Let go of every frame that `exc` holds, with the objects in it.

    The traceback of each exception of its chain and groups is taken off, and the
    local variables of the frames that have ended are cleared. Never raises.
    """
    waiting, seen = [exc], {id(exc)}
    while waiting and len(seen) <= MAX_CHAIN:
        try:
            link = waiting.pop()
            _clear(link.__traceback__)
            link.__traceback__ = None
            related = [link.__cause__, link.__context__, *_members(link)]
            for other in related:
                if other is not None and id(other) not in seen:
                    seen.add(id(other))
                    waiting.append(other)
        except BaseException:
            # What cannot be cleared is left to the garbage collector.
            continue


def _clear(tb: TracebackType | None) -> None:
    while tb is not None:
        try:
            while tb is not None:
                frame = tb.tb_frame
                if not frame.f_code.co_flags & _MAY_GO_ON:
                    frame.clear()
                tb = tb.tb_next
        except RuntimeError:
            # It is being executed still: the one that called the task is.
            tb = tb.tb_next if tb is not None else None


def _links(exc: BaseException) -> list[BaseException]:
    """Return `exc` and what Python would print above it, the nearest first."""
    links, seen = [exc], {id(exc)}
    while len(links) < MAX_CHAIN:
        link = links[-1]
        origin = link.__cause__
        if origin is None and not link.__suppress_context__:
            origin = link.__context__
        if origin is None or id(origin) in seen:
            break
        seen.add(id(origin))
        links.append(origin)
    return links


def _members(exc: BaseException) -> tuple[BaseException, ...]:
    """Return the exceptions of a group; Python 3.10 has only backports of it."""
    members = getattr(exc, "exceptions", None)
    if not isinstance(members, tuple):
        return ()
    return tuple(one for one in members if isinstance(one, BaseException))


# What is shown.


def _text(exc: BaseException, depth: int = 0) -> str:
    links = _links(exc)
    try:
        if len(links) <= MAX_LINKS and all(map(_is_ordinary, links)):
            tb = _without_machinery(exc.__traceback__)
            found = traceback.TracebackException(
                type(exc), exc, tb, lookup_lines=False, compact=True
            )
            _shorten(found)
            return "".join(found.format())
    except BaseException:
        # Attributes that are not what they should be.
        return _alone(exc)
    return "".join(_ends(links, depth))


def _is_ordinary(exc: BaseException) -> bool:
    """Say whether Python's own text of it is of reasonable size."""
    notes = getattr(exc, "__notes__", ())
    return (
        len(str.__str__(str(exc))) <= MAX_MESSAGE
        and not _members(exc)
        and sum(len(note) for note in notes) <= MAX_MESSAGE
    )


def _shorten(found: traceback.TracebackException | None) -> None:
    """Leave out the middle of long tracebacks, before any source is looked up."""
    while found is not None:
        _shorten_stack(found.stack)
        found = found.__cause__ or found.__context__


def _shorten_stack(stack: traceback.StackSummary) -> None:
    left_out = len(stack) - FIRST_FRAMES - LAST_FRAMES
    if left_out > 0:
        name = f"[… {left_out} frames left out …]"
        gap = traceback.FrameSummary(name, 0, "…", lookup_line=False, line="")
        stack[FIRST_FRAMES:-LAST_FRAMES] = [gap]
    if sys.version_info >= (3, 11):
        # Python parses a line to mark the place in it, which takes longer than all
        # the rest of the text; so it is marked where the exception was raised.
        for summary in stack[:-1]:
            summary.colno = None


def _ends(links: list[BaseException], depth: int) -> Iterator[str]:
    """Yield the text of what is too much: the root, and the exception itself."""
    if len(links) > 1:
        yield _alone(links[-1])
        yield f"\n[… {len(links) - 2} exceptions left out …]\n\n"
    yield _alone(links[0])
    members = _members(links[0])
    # One of each kind, before others of the same: they come in any order.
    kinds: dict[str, int] = {}
    counted = () if depth >= MAX_DEPTH else members[:MAX_COUNTED]
    for number, member in enumerate(counted):
        kinds.setdefault(fingerprint(_raised(member, MAX_DEPTH)), number)
    first = set(kinds.values())
    numbers = sorted(range(len(counted)), key=lambda number: number not in first)
    shown = sorted(numbers[:MAX_MEMBERS])
    for number in shown:
        yield f"  +---------------- {number + 1} ----------------\n"
        text = _text(members[number], depth + 1).rstrip("\n")
        yield "".join(f"  | {line}\n" for line in text.split("\n"))
    if len(members) > len(shown):
        yield f"  [… {len(members) - len(shown)} exceptions left out …]\n"


def _alone(exc: BaseException) -> str:
    """Return the text of an exception without what it comes from or consists of."""
    tb = _without_machinery(exc.__traceback__)
    stack = traceback.StackSummary.extract(traceback.walk_tb(tb), lookup_lines=False)
    _shorten_stack(stack)
    name = _type_name(type(exc)).removeprefix("builtins.").removeprefix("__main__.")
    lines = ["Traceback (most recent call last):\n", *stack.format()] if stack else []
    message = _message(exc)
    lines.append(f"{name}: {message}\n" if message else f"{name}\n")
    notes = getattr(exc, "__notes__", ())
    if isinstance(notes, (list, tuple)):
        for note in islice(notes, 10):
            lines.append(f"{note[:1_000]}\n" if isinstance(note, str) else "")
    return cut(printable("".join(lines)), MAX_TRACEBACK // 2)


def _without_machinery(tb: TracebackType | None) -> TracebackType | None:
    """Return a traceback from where it leaves the runner; all of it where it stays."""
    step = tb
    while step is not None and _is_machinery(step.tb_frame):
        step = step.tb_next
    return step or tb


def _message(exc: BaseException) -> str:
    try:
        # str() of a str subclass calls nothing of the subclass.
        text = str.__str__(str(exc))
    except BaseException:
        return "<exception str() failed>"
    if len(text) > MAX_MESSAGE:
        half = MAX_MESSAGE // 2
        left_out = len(text) - 2 * half
        text = f"{text[:half]}\n[… {left_out} characters left out …]\n{text[-half:]}"
    return cut(printable(text), MAX_MESSAGE, head=0.8)


def _type_name(cls: type) -> str:
    module, name = cls.__module__, cls.__qualname__
    if not isinstance(module, str):
        return printable(name[:MAX_LINE])
    return printable(f"{module[:MAX_LINE]}.{name[:MAX_LINE]}")


# What tells it from others.


def _raised(exc: BaseException, depth: int = 0) -> list[Raised]:
    """Return an exception and what it comes from and consists of, itself first."""
    links = _links(exc)
    raised = []
    for link in links[: MAX_LINKS - 4] + links[MAX_LINKS - 4 :][-4:]:
        frames = _frames(link.__traceback__)
        raised.append(Raised(_type_name(type(link)), _message(link), frames))
        counted = 0 if depth >= MAX_DEPTH else max(5, MAX_COUNTED // 10**depth)
        below = {
            signature(one): one
            for member in _members(link)[:counted]
            for one in _raised(member, depth + 1)
        }
        # Members come in the order in which they ended, which is chance.
        raised += [below[key] for key in sorted(below)]
    return raised


def _frames(tb: TracebackType | None) -> tuple[Frame, ...]:
    steps: dict[tuple[int, int], TracebackType] = {}
    while tb is not None:
        steps.setdefault((id(tb.tb_frame.f_code), tb.tb_lineno or 0), tb)
        tb = tb.tb_next
    return tuple(_frame(step) for step in islice(steps.values(), MAX_FRAMES))


def _frame(step: TracebackType) -> Frame:
    frame = step.tb_frame
    code = frame.f_code
    source = getline(code.co_filename, step.tb_lineno or 0, frame.f_globals)
    return Frame(
        module=_module(frame)[:MAX_LINE],
        function=getattr(code, "co_qualname", code.co_name)[:MAX_LINE],
        source=source[:MAX_LINE],
        is_application=not (
            code.co_filename.startswith((*_LIBRARIES, "<frozen "))
            or "/site-packages/" in code.co_filename
            or "/dist-packages/" in code.co_filename
            or _is_machinery(frame)
        ),
    )


def _module(frame: FrameType) -> str:
    name = frame.f_globals.get("__name__")
    return name if isinstance(name, str) else ""


def _is_machinery(frame: FrameType) -> bool:
    """Say whether this frame is of the runner itself, its example tasks apart."""
    module = _module(frame)
    return module.startswith("yourlabs.runner.") and module != "yourlabs.runner.tasks"
