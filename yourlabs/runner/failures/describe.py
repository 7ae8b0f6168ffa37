"""
Turn an exception into plain text and a fingerprint, and let go of it.

Whatever the exception is, this takes milliseconds, never raises, and keeps neither
the exception nor its frames. Text is made once a place: what is remembered is keyed
on code objects and positions in them, and bounded. Safe to use in any thread.
"""

from __future__ import annotations

import inspect
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Any

from yourlabs.runner.chain.stacks import MAX_LINE, Key, place_of, remember
from yourlabs.runner.failures.fingerprint import Raised, fingerprint, signature
from yourlabs.runner.failures.text import cut, printable

MAX_TRACEBACK = 20_000
"""Longest text of a traceback, in bytes of UTF-8."""

MAX_MESSAGE = 10_000
"""Longest message, in bytes of UTF-8."""

FIRST_CAUSES, LAST_CAUSES = 8, 4
"""How many exceptions are shown of a chain that has more."""

MAX_MEMBERS, MAX_DEPTH = 5, 3
"""How many exceptions of a group are shown, and of how many groups in groups."""

MAX_COUNTED = 100
"""How many exceptions of a group tell it from others; fewer of the groups in it."""

MAX_CHAIN = 100_000
"""A chain of causes is followed no further."""

_MAX_KEY = 400

_MAY_GO_ON = (
    inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
    if sys.version_info < (3, 13)
    else 0
)
"""
Flags of code whose frame may be suspended, by somebody who caught the exception.

Up to Python 3.12 to clear such a frame ends it; a later one refuses.
"""

_CAUSE = (
    "\nThe above exception was the direct cause of the following exception:\n\n",
    "\nDuring handling of the above exception, another exception occurred:\n\n",
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


_described: dict[Key, tuple[tuple[object, ...], Described]] = {}


def describe(exc: BaseException) -> Described:
    """
    Return what is to be told of `exc`.

    Returns:
        At most `MAX_MESSAGE` and `MAX_TRACEBACK` bytes of text. The frames of the
        runner itself, with which the traceback of a task begins, are left out.
    """
    try:
        return _recall(exc)
    except BaseException:
        # A hostile class can make anything raise, even SystemExit, and the chain
        # has to go on.
        return _describe_type(exc)


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


def _recall(exc: BaseException) -> Described:
    try:
        key = _key(exc)
    except BaseException:
        # __str__ raises, or an attribute does: rare enough to be described anew.
        key = None
    if key is None:
        return _describe(exc)
    known = _described.get(key)
    if known is None:
        known = (_held(exc), _describe(exc))
        remember(_described, key, known)
    return known[1]


def _key(exc: BaseException) -> Key | None:
    """
    Return what tells `exc` from others; the ids in it are of what `_held` returns.

    None for what is rare or long: it is described anew each time.
    """
    parts: list[Any] = []
    link: BaseException | None = exc
    while link is not None:
        # str() of a str subclass calls nothing of the subclass.
        message = str.__str__(str(link))
        if (
            len(message) > MAX_LINE * 4
            or len(parts) > _MAX_KEY
            or isinstance(link, SyntaxError)
            or hasattr(link, "exceptions")
            or hasattr(link, "__notes__")
        ):
            return None
        parts += (id(type(link)), message, link.__cause__ is None)
        tb = link.__traceback__
        while tb is not None:
            parts += (id(tb.tb_frame.f_code), tb.tb_lasti)
            tb = tb.tb_next
        link = _origin(link)
    return tuple(parts)


def _held(exc: BaseException) -> tuple[object, ...]:
    """Return the objects whose ids are in the key: no other can have them then."""
    held: list[object] = []
    link: BaseException | None = exc
    while link is not None:
        held.append(type(link))
        tb = link.__traceback__
        while tb is not None:
            held.append(tb.tb_frame.f_code)
            tb = tb.tb_next
        link = _origin(link)
    return tuple(held)


def _origin(exc: BaseException) -> BaseException | None:
    """Return the exception that Python would print above `exc`."""
    if exc.__cause__ is not None:
        return exc.__cause__
    return None if exc.__suppress_context__ else exc.__context__


def _members(exc: BaseException) -> Sequence[BaseException]:
    """Return the exceptions of a group; Python 3.10 has only backports of it."""
    members = getattr(exc, "exceptions", None)
    if not isinstance(members, tuple):
        return ()
    return tuple(one for one in members if isinstance(one, BaseException))


def _describe(exc: BaseException) -> Described:
    raised: list[Raised] = []
    text = "".join(_chain(exc, raised, 0))
    return Described(
        exception_type=raised[-1].type,
        message=_message(exc),
        traceback=cut(text, MAX_TRACEBACK, head=0.4),
        fingerprint=fingerprint(reversed(raised)),
    )


def _describe_type(exc: BaseException) -> Described:
    try:
        name = printable(f"{type.__dict__['__name__'].__get__(type(exc))}")[:200]
    except BaseException:
        name = "BaseException"
    message = "<the exception cannot be described>"
    return Described(
        name, message, f"{name}: {message}\n", fingerprint([Raised(name, message, ())])
    )


def _chain(exc: BaseException, raised: list[Raised], depth: int) -> Iterator[str]:
    """Yield the text of `exc` below that of its causes; fill `raised` likewise."""
    links = [exc]
    seen = {id(exc)}
    while len(links) < MAX_CHAIN:
        origin = _origin(links[-1])
        if origin is None or id(origin) in seen:
            break
        seen.add(id(origin))
        links.append(origin)
    left_out = len(links) - FIRST_CAUSES - LAST_CAUSES
    if left_out > 0:
        links[FIRST_CAUSES:-LAST_CAUSES] = []
    for index in range(len(links) - 1, -1, -1):
        link = links[index]
        yield from _one(link, raised, depth)
        if index and left_out > 0 and index == FIRST_CAUSES:
            yield f"\n[… {left_out} exceptions left out …]\n\n"
        elif index:
            yield _CAUSE[links[index - 1].__cause__ is not link]


def _one(exc: BaseException, raised: list[Raised], depth: int) -> Iterator[str]:
    place = place_of(exc.__traceback__)
    if place.text:
        yield "Traceback (most recent call last):\n"
        yield cut(place.text, MAX_TRACEBACK // 2)
    name = _type_name(type(exc))
    message = _message(exc)
    if isinstance(exc, SyntaxError):
        yield _syntax(exc)
    shown = name.removeprefix("builtins.").removeprefix("__main__.")
    yield cut(f"{shown}: {message}" if message else shown, MAX_TRACEBACK // 4) + "\n"
    yield from _notes(exc)
    yield from _group(exc, raised, depth)
    raised.append(Raised(name, message, place.frames))


def _group(exc: BaseException, raised: list[Raised], depth: int) -> Iterator[str]:
    members = getattr(exc, "exceptions", None)
    if not isinstance(members, tuple):
        return
    # They come in the order in which they ended, which is chance.
    kinds: dict[str, int] = {}
    below: dict[str, Raised] = {}
    numbers = []
    counted = max(MAX_MEMBERS, MAX_COUNTED // 10**depth)
    for number, member in enumerate(members[:counted]):
        if not isinstance(member, BaseException) or depth >= MAX_DEPTH:
            continue
        found: list[Raised] = []
        deque(_chain(member, found, depth + 1), maxlen=0)
        below.update((signature(one), one) for one in found)
        kinds.setdefault(fingerprint(reversed(found)), number)
        numbers.append(number)
    raised.extend(below[key] for key in sorted(below))
    # One of each kind, before others of the same.
    first = set(kinds.values())
    shown = sorted(numbers, key=lambda number: number not in first)[:MAX_MEMBERS]
    for number in sorted(shown):
        yield f"  +---------------- {number + 1} ----------------\n"
        text = "".join(_chain(members[number], [], depth + 1)).rstrip("\n")
        yield "".join(f"  | {line}\n" for line in text.split("\n"))
    if len(members) > len(shown):
        yield f"  [… {len(members) - len(shown)} exceptions left out …]\n"


def _notes(exc: BaseException) -> Iterator[str]:
    notes = getattr(exc, "__notes__", ())
    if isinstance(notes, (list, tuple)):
        for note in islice(notes, 10):
            if isinstance(note, str):
                yield cut(printable(note[:MAX_MESSAGE]), 1_000) + "\n"


def _syntax(exc: SyntaxError) -> str:
    """Return where the syntax is wrong, as Python prints it above the message."""
    if exc.filename is None and exc.lineno is None:
        return ""
    where = f'  File "{_bounded(exc.filename)}", line {_bounded(exc.lineno)}\n'
    if not isinstance(exc.text, str):
        return where
    line = printable(exc.text[:MAX_LINE].partition("\n")[0])
    code = line.lstrip()
    where += f"    {code.rstrip()}\n"
    if isinstance(exc.offset, int) and 0 < exc.offset <= len(line) + 1:
        where += "    " + " " * (exc.offset - 1 - (len(line) - len(code))) + "^\n"
    return where


def _bounded(value: object) -> str:
    return printable(str(value)[:MAX_LINE])


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
