"""
The frames of a traceback as text and as plain facts, made once a place.

What is remembered is keyed on code objects and positions in them, and bounded; neither
frames nor exceptions are kept.
"""

from __future__ import annotations

import sys
import sysconfig
import traceback
from dataclasses import dataclass
from itertools import islice
from linecache import checkcache, getline
from types import CodeType, FrameType, TracebackType
from typing import Any

from yourlabs.runner.failures.fingerprint import Frame
from yourlabs.runner.failures.text import printable

FIRST_FRAMES, LAST_FRAMES = 30, 50
"""How many frames are shown of a traceback that has more."""

MAX_FRAMES = 200
"""How many distinct frames of a traceback take part in the fingerprint."""

MAX_LINE = 500
"""Longest line and name that is shown, in characters."""

_MAX_STEPS = 200
_MAX_REMEMBERED = 64

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Place:
    """The way to an exception; it keeps the code alive that its key is made of."""

    codes: tuple[CodeType, ...]
    text: str
    """As Python prints it, without the heading; bounded."""
    frames: tuple[Frame, ...]
    """The distinct ones; bounded."""


_places: dict[Key, Place] = {}


def remember(memory: dict[Key, Any], key: Key, value: object) -> None:
    """Keep `value`; a full memory is emptied, which needs no lock that a fork finds."""
    if len(memory) >= _MAX_REMEMBERED:
        memory.clear()
    memory[key] = value


def place_of(tb: TracebackType | None) -> Place:
    """Return the way to an exception: the same one for the same way."""
    steps: list[TracebackType] = []
    while tb is not None:
        steps.append(tb)
        tb = tb.tb_next
    key: Key | None = None
    if len(steps) <= _MAX_STEPS:
        key = tuple((id(step.tb_frame.f_code), step.tb_lasti) for step in steps)
        if (known := _places.get(key)) is not None:
            return known
    place = _make_place(steps)
    if key is not None:
        remember(_places, key, place)
    return place


def _make_place(steps: list[TracebackType]) -> Place:
    codes = tuple(step.tb_frame.f_code for step in steps)
    for number, step in enumerate(steps):
        if not _is_machinery(step.tb_frame):
            steps = steps[number:]
            break
    left_out = len(steps) - FIRST_FRAMES - LAST_FRAMES
    parts = [steps]
    if left_out > 0:
        parts = [steps[:FIRST_FRAMES], steps[-LAST_FRAMES:]]
    for filename in {
        step.tb_frame.f_code.co_filename for part in parts for step in part
    }:
        checkcache(filename)
    texts = [_stack(part) for part in parts]
    distinct = {(id(step.tb_frame.f_code), step.tb_lineno): step for step in steps}
    frames = tuple(_frame(step) for step in islice(distinct.values(), MAX_FRAMES))
    return Place(codes, f"  [… {left_out} frames left out …]\n".join(texts), frames)


def _stack(steps: list[TracebackType]) -> str:
    summary = traceback.StackSummary.from_list([_summary(step) for step in steps])
    return printable("".join(summary.format()))


def _summary(step: TracebackType) -> traceback.FrameSummary:
    code = step.tb_frame.f_code
    line = _source(step)
    position: dict[str, int] = {}
    if sys.version_info >= (3, 11) and len(line) < MAX_LINE and step.tb_lasti >= 0:
        positions = islice(code.co_positions(), step.tb_lasti // 2, None)
        first, last, start, end = next(positions, (None, None, None, None))
        # A statement of several lines is shown by its first line, without markers.
        if last is not None and start is not None and end is not None and first == last:
            position = {"end_lineno": last, "colno": start, "end_colno": end}
    return traceback.FrameSummary(
        code.co_filename[:MAX_LINE],
        step.tb_lineno or 0,
        code.co_name[:MAX_LINE],
        lookup_line=False,
        line=line,
        **position,  # type: ignore[arg-type]
    )


def _frame(step: TracebackType) -> Frame:
    code = step.tb_frame.f_code
    return Frame(
        module=_module(step.tb_frame)[:MAX_LINE],
        function=getattr(code, "co_qualname", code.co_name)[:MAX_LINE],
        source=_source(step),
        is_application=_is_application(step.tb_frame),
    )


def _source(step: TracebackType) -> str:
    frame = step.tb_frame
    line = getline(frame.f_code.co_filename, step.tb_lineno or 0, frame.f_globals)
    return line[:MAX_LINE]


def _module(frame: FrameType) -> str:
    name = frame.f_globals.get("__name__")
    return name if isinstance(name, str) else ""


def _is_machinery(frame: FrameType) -> bool:
    """Say whether this frame is of the runner itself, its example tasks apart."""
    module = _module(frame)
    return module.startswith("yourlabs.runner.") and module != "yourlabs.runner.tasks"


_LIBRARIES = tuple(
    {sysconfig.get_path(name).rstrip("/") + "/" for name in ("stdlib", "platstdlib")}
)


def _is_application(frame: FrameType) -> bool:
    filename = frame.f_code.co_filename
    return not (
        filename.startswith(_LIBRARIES)
        or filename.startswith("<frozen ")
        or "/site-packages/" in filename
        or "/dist-packages/" in filename
        or _is_machinery(frame)
    )
