"""
Turn an exception into plain text and a fingerprint, and let go of it.

Whatever the exception is, this takes milliseconds, and never raises.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from linecache import getline
from textwrap import indent
from types import FrameType, TracebackType

from yourlabs.runner.failures.downtime import Described as Described
from yourlabs.runner.failures.fingerprint import (
    MAX_LINE,
    Frame,
    Raised,
    fingerprint,
    signature,
)
from yourlabs.runner.failures.text import cut, printable

MAX_TRACEBACK, MAX_MESSAGE = 20_000, 10_000
"""Longest text of a traceback, and of a message, in bytes of UTF-8."""

MAX_LINKS, LAST_LINKS = 12, 8
"""How many exceptions of a chain of causes are shown and take part in its key, and how
many of these are its last ones; the others are its first ones."""

MAX_MEMBERS, MAX_DEPTH = 5, 3
"""How many exceptions of a group are shown, and of how many groups in groups."""

MAX_COUNTED = 100
"""How many exceptions of a group take part in its key; fewer of groups in groups."""

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
Flags of code whose frame may be suspended, where the exception was caught.

Up to Python 3.12 `frame.clear` would end such a generator; later ones refuse.
"""

_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


_LIBRARIES = tuple(
    {sysconfig.get_path(name).rstrip("/") + "/" for name in ("stdlib", "platstdlib")}
)


@lru_cache(maxsize=512)
def is_library(path: str) -> bool:
    """Return whether a file is of Python, or of an installed package."""
    return (
        path.startswith((*_LIBRARIES, "<frozen "))
        or "/site-packages/" in path
        or "/dist-packages/" in path
    )


def describe(exc: BaseException) -> Described:
    """Return `exc` as text, without the runner's own frames, and its key."""
    try:
        raised, text = _read(exc)
        text = cut(text, MAX_TRACEBACK, head=0.4)
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
    Let go of every frame that `exc`, its causes and its members hold. Never raises.

    Tracebacks are taken off, and the local variables of frames that have ended cleared.
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
            if not tb.tb_frame.f_code.co_flags & _MAY_GO_ON:
                tb.tb_frame.clear()
        except RuntimeError:
            # It is still running: the frame that called the task is.
            pass
        tb = tb.tb_next


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


def _read(exc: BaseException, depth: int = 0) -> tuple[list[Raised], str]:
    """Return the exceptions that make the key of `exc`, itself first, and its text."""
    links = _links(exc)
    left_out = len(links) - MAX_LINKS
    if left_out > 0:
        links[LAST_LINKS : LAST_LINKS + left_out] = []
    raised: list[Raised] = []
    text = ""
    for number, link in enumerate(links):
        frames = _frames(link.__traceback__)
        # However deep a recursion went, each of its calls counts once.
        distinct = tuple(islice(dict.fromkeys(frames), MAX_FRAMES))
        own = Raised(_type_name(type(link)), _message(link), distinct)
        counted = 0 if depth >= MAX_DEPTH else max(5, MAX_COUNTED // 10**depth)
        members = [_read(one, depth + 1) for one in _members(link)[:counted]]
        below = {signature(one): one for found, _ in members for one in found}
        # Members come in the order in which they ended, which is chance.
        raised += [own, *(below[key] for key in sorted(below))]
        shown = cut(printable("".join(_text(link, own, frames))), MAX_TRACEBACK // 2)
        if not number:
            text = shown + "".join(_group(link, members))
            continue
        joint = _CAUSE if links[number - 1].__cause__ is link else _CONTEXT
        if number == LAST_LINKS and left_out > 0:
            joint = f"\n[… {left_out} exceptions left out …]\n\n"
        text = shown + joint + text
    return raised, text


def _text(exc: BaseException, own: Raised, frames: list[Frame]) -> Iterator[str]:
    """Yield the text of one exception, without those it comes from."""
    if frames:
        yield "Traceback (most recent call last):\n"
    left_out = len(frames) - FIRST_FRAMES - LAST_FRAMES
    if left_out > 0:
        yield from (frame.text for frame in frames[:FIRST_FRAMES])
        yield f"  [… {left_out} frames left out …]\n"
        frames = frames[-LAST_FRAMES:]
    yield from (frame.text for frame in frames)
    if isinstance(exc, SyntaxError):
        with contextlib.suppress(Exception):
            # The place in the source comes before the message.
            yield from traceback.format_exception_only(type(exc), exc)[:-1]
    name = own.type.removeprefix("builtins.").removeprefix("__main__.")
    yield f"{name}: {own.message}\n" if own.message else f"{name}\n"
    notes = getattr(exc, "__notes__", ())
    if isinstance(notes, (list, tuple)):
        yield from (f"{one[:1_000]}\n" for one in notes[:10] if isinstance(one, str))


def _group(
    exc: BaseException, members: list[tuple[list[Raised], str]]
) -> Iterator[str]:
    """Yield the text of some of the members of a group."""
    # One of each kind, before others of the same: they come in any order.
    numbers = range(len(members))
    kinds = {fingerprint(members[number][0]): number for number in reversed(numbers)}
    first = set(kinds.values())
    shown = sorted(sorted(numbers, key=lambda n: n not in first)[:MAX_MEMBERS])
    for number in shown:
        yield f"  +---------------- {number + 1} ----------------\n"
        yield indent(members[number][1].rstrip("\n"), "  | ", lambda _: True) + "\n"
    left_out = len(_members(exc)) - len(shown)
    if left_out:
        yield f"  [… {left_out} exceptions left out …]\n"


def _message(exc: BaseException) -> str:
    try:
        # str() of a str subclass calls nothing of the subclass.
        text = str.__str__(str(exc))
    except BaseException:
        return "<exception str() failed>"
    # Cut before as well: to look through megabytes takes seconds.
    return cut(printable(cut(text, MAX_MESSAGE)), MAX_MESSAGE, head=0.8)


def _type_name(cls: type) -> str:
    parts = [cls.__module__, cls.__qualname__]
    return printable(".".join(one[:MAX_LINE] for one in parts if isinstance(one, str)))


def _frames(tb: TracebackType | None) -> list[Frame]:
    """Read a traceback from where it leaves the runner; all of it where it stays."""
    step = tb
    while step is not None and _is_machinery(_module(step.tb_frame)):
        step = step.tb_next
    step = step or tb
    frames: list[Frame] = []
    known: dict[tuple[int, int | None], Frame] = {}
    while step is not None:
        key = id(step.tb_frame.f_code), step.tb_lineno
        if key not in known:
            known[key] = _frame(step.tb_frame, step.tb_lineno or 0)
        frames.append(known[key])
        step = step.tb_next
    return frames


def _frame(frame: FrameType, line: int) -> Frame:
    # Python's own formatter parses each line, to mark the place in it: that takes
    # longer than everything else that a failure costs. It also reads a file again that
    # was changed; what was written later is not what runs here.
    code, module = frame.f_code, _module(frame)
    path, name = code.co_filename[:MAX_LINE], code.co_name[:MAX_LINE]
    source = getline(code.co_filename, line, frame.f_globals)[:MAX_LINE].strip()
    text = f'  File "{path}", line {line}, in {name}\n'
    return Frame(
        module=module[:MAX_LINE],
        function=getattr(code, "co_qualname", name)[:MAX_LINE],
        source=source,
        is_application=not (is_library(code.co_filename) or _is_machinery(module)),
        text=f"{text}    {source}\n" if source else text,
    )


def _module(frame: FrameType) -> str:
    name = frame.f_globals.get("__name__")
    return name if isinstance(name, str) else ""


def _is_machinery(module: str) -> bool:
    """Return whether a module is the runner's own; its example tasks are not."""
    return module.startswith("yourlabs.runner.") and module != "yourlabs.runner.tasks"
