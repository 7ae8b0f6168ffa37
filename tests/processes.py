"""Child processes that tests talk to by lines, with a deadline for everything."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parent.parent

DEADLINE = 30.0
"""Seconds within which a child has to say or do what it has to."""


class Child:
    """
    A process of this interpreter whose output is read line by line.

    As a context manager it is killed at the end, if it lives that long.
    """

    def __init__(
        self,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
    ) -> None:
        """Start ``python *arguments``; both its outputs are read as one."""
        self.lines: list[str] = []
        self._seen = 0
        self._ended = False
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-u", *arguments],
            cwd=cwd,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def expect(self, text: str, timeout: float = DEADLINE) -> str:
        """Wait for the next line that has `text` in it, and return it."""
        with self._changed:
            self._changed.wait_for(lambda: self._find(text) or self._ended, timeout)
            found = self._find(text)
            assert found, f"no {text!r} in\n" + "\n".join(self.lines[-40:])
            self._seen = found
            return self.lines[found - 1]

    def _find(self, text: str) -> int:
        for number, line in enumerate(self.lines[self._seen :], self._seen + 1):
            if text in line:
                return number
        return 0

    def skip(self) -> None:
        """Expect from now on only what has not been said yet."""
        with self._changed:
            self._seen = len(self.lines)

    def send(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end(self, timeout: float = DEADLINE) -> int:
        """Close its standard input, and return its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = self.process.wait(timeout)
        self._reader.join(timeout)
        return code

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(DEADLINE)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                # What was written last found nobody.
                continue
