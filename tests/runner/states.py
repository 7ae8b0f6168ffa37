"""What a notifier keeps for the next owner of a chain, in a file of a test."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class FileState:
    """A thread's `state` in a JSON file: what one owner puts, the next one loads."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._sections: dict[str, Any] = {}

    def load(self) -> None:
        """Read what the last owner left."""
        if self._path.exists():
            self._sections = json.loads(self._path.read_text())

    def get(self, section: str) -> Any:
        """Return what was put. None: nothing was."""
        return self._sections.get(section)

    def put(self, section: str, value: Any, *, now: bool = False) -> None:
        """Keep `value`; written at once if `now`."""
        self._sections[section] = value
        if now:
            self._write()

    def close(self) -> None:
        """Write what was kept."""
        self._write()

    def _write(self) -> None:
        # A process that is killed while it writes leaves the old file.
        temporary = f"{self._path}.{os.getpid()}"
        Path(temporary).write_text(json.dumps(self._sections))
        os.replace(temporary, self._path)
