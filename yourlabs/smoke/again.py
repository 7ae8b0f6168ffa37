"""Run the command again in a process of its own, and leave what it said in a file.

A run replaces what its whole process uses, which must not happen in one that serves
other people, and it takes longer than a request may.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

from django.conf import ENVIRONMENT_VARIABLE, settings

from yourlabs.smoke.isolation.guard import GUARD

LOST_AFTER = 600.0
"""Seconds after which a run that has said nothing was ended from outside."""


def python() -> str:
    """The path of the Python that this process runs, or that it is embedded in.

    Servers like uWSGI and mod_wsgi are programs of their own, with Python inside.

    Raises:
        OSError: There is none below the folders that Python was set up with.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    names = [f"python{version}", "python3", "python", "python.exe"]
    folders = [os.path.join(p, "bin") for p in (sys.prefix, sys.exec_prefix)]
    folders += [sys.prefix, os.path.join(sys.base_prefix, "bin"), sys.base_prefix]
    found = [os.path.join(folder, name) for folder in folders for name in names]
    if os.path.basename(sys.executable or "").startswith("python"):
        found.insert(0, sys.executable)
    for path in found:
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise OSError(f"There is no Python below {sys.prefix!r} to run the command with.")


def start(patterns: list[str]) -> str:
    """Start a run over some routes; return the file that gets its result.

    Raises:
        OSError: The process cannot be started.
    """
    handle, path = tempfile.mkstemp(prefix="smoke-again-", suffix=".json")
    os.close(handle)
    module = os.environ.get(ENVIRONMENT_VARIABLE) or settings.SETTINGS_MODULE
    environment = {
        **os.environ,
        ENVIRONMENT_VARIABLE: module,
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }
    process = subprocess.Popen(
        [python(), "-m", "yourlabs.smoke.again", path, *patterns],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    # Nobody waits for it, but its end has to be taken note of.
    threading.Thread(target=process.wait, daemon=True).start()
    return path


def result_of(path: str) -> tuple[int, str] | None:
    """The exit code of a run and the last line it wrote; None while it runs on.

    The file is gone afterwards.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
            age = time.time() - os.fstat(file.fileno()).st_mtime
        if not text and age < LOST_AFTER:
            return None
        os.unlink(path)
        found: dict[str, Any] = json.loads(text)
    except (OSError, ValueError):
        return 2, "What the run said is lost."
    return found["code"], found["text"]


def main(path: str, patterns: list[str]) -> None:
    """Run the command, and write its exit code and last line to a file at once."""
    from django.core.management import CommandError, execute_from_command_line

    arguments = ["smoke", "-v0"]
    for pattern in patterns:
        arguments += ["--only", pattern if pattern.startswith("/") else f"/{pattern}"]
    out, code, text = io.StringIO(), 0, ""
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            execute_from_command_line(["smoke", *arguments])
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 2
    except (Exception, CommandError) as error:
        code, text = 2, f"{type(error).__name__}: {error}"
    lines = (out.getvalue().strip() or text or "The run said nothing.").splitlines()
    done = json.dumps({"code": code, "text": text or lines[-1]})
    # The process stays guarded after the run; this file is the run's own.
    with GUARD.trusted():
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            file.write(done)
        os.replace(f"{path}.new", path)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
