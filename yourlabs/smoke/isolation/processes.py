"""Refuse to start programs and to end them."""

from __future__ import annotations

import _posixsubprocess
import os
from typing import Any

from yourlabs.smoke.isolation.guard import GUARD, Check
from yourlabs.smoke.isolation.patches import Patches


def refuse_program(words: Any, path: Any = None) -> None:
    """Refuse a program, given as a command line or as its words."""
    if isinstance(words, (str, bytes, os.PathLike)):
        name = os.fsdecode(words)
    else:
        match [os.fsdecode(word) for word in words]:
            case [shell, "-c", line, *_] if shell.endswith("sh"):
                name = line
            case several:
                name = next(iter(several), "")
    name = (name.split() or [os.fsdecode(path or "")])[0]
    if not GUARD.allows("programs", name, os.path.basename(name)):
        GUARD.refuse("programs", name)


def _popen(args: tuple[Any, ...]) -> None:
    refuse_program(args[1], args[0])


def _path_and_words(args: tuple[Any, ...]) -> None:
    refuse_program(args[1] or [args[0]], args[0])


def _fork(args: tuple[Any, ...]) -> None:
    GUARD.refuse("processes", "starts a copy of the process")


def _kill(args: tuple[Any, ...]) -> None:
    if args[1]:
        GUARD.refuse("processes", f"sends a signal to process {args[0]}")


def patch(patches: Patches) -> None:
    """Change what starts programs and tells no hook."""
    # `multiprocessing` and its like start programs with it.
    patches.guarded(_posixsubprocess, "fork_exec", _spawn)


def _spawn(original: Any, words: Any, paths: Any, *others: Any) -> Any:
    refuse_program(words, paths[0])
    return original(words, paths, *others)


def checks() -> dict[str, Check]:
    """What to ask before a program is started."""
    return {
        "subprocess.Popen": _popen,
        "os.system": lambda args: refuse_program(args[0]),
        "os.exec": _path_and_words,
        "os.posix_spawn": _path_and_words,
        "os.spawn": lambda args: refuse_program(args[2], args[1]),
        "os.fork": _fork,
        "os.forkpty": _fork,
        "os.kill": _kill,
        "os.killpg": _kill,
    }
