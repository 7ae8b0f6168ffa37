"""
What three lines cost a settings module, beside a plain one with the same settings.

Each round starts a process per case, one after the other, so that a busy machine is
equally busy for all of them. Byte code is compiled before, as an installation does.
Run it from the checkout:

    python tests/benchmarks/bench_setup.py
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = int(os.environ.get("ROUNDS", "21"))

ROOT = Path(__file__).resolve().parent.parent.parent

THREE_LINES = """\
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes"]
from yourlabs.setup import Setup
setup = Setup(globals())
setup.full()
"""

TIMED = """\
import time
{before}
wall, cpu = time.perf_counter(), time.process_time()
import {module}
print((time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000)
"""

DJANGO = "import django, django.conf, django.core.exceptions, django.apps"
"""What a process of Django has imported when it reads its settings."""

TARGET = 30.0
"""Milliseconds of CPU that three lines may cost more than a plain module."""


def main() -> int:
    """Print the medians; return 1 when the target is missed."""
    with tempfile.TemporaryDirectory() as folder:
        environ = prepare(Path(folder))
        cases = {
            (name, module): TIMED.format(before=before, module=module)
            for name, before in (("bare Python", ""), ("Django", DJANGO))
            for module in ("plain", "three")
        }
        times: dict[tuple[str, str], list[list[float]]] = {case: [] for case in cases}
        for _ in range(ROUNDS):
            for case, program in cases.items():
                output = run(Path(folder), environ, "-c", program)
                times[case].append([float(number) for number in output.split()])
    missed = False
    print(f"{'import of the settings, ms':<28} {'plain':>7} {'three':>7} {'more':>7}")
    for name in ("bare Python", "Django"):
        for clock, kind in enumerate(("wall", "CPU")):
            plain, three = (
                statistics.median(pair[clock] for pair in times[name, module])
                for module in ("plain", "three")
            )
            missed |= kind == "CPU" and three - plain > TARGET
            title = f"{name}, {kind}"
            print(f"{title:<28} {plain:>7.1f} {three:>7.1f} {three - plain:>7.1f}")
    print(f"target: at most {TARGET:.0f} ms more, {'missed' if missed else 'met'}")
    return int(missed)


def prepare(folder: Path) -> dict[str, str]:
    """Write both modules, byte code and folders included; return the environment."""
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "ALLOWED_HOSTS": "example.com",
        "YOURLABS_QUIET": "1",
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
    }
    (folder / "three.py").write_text(THREE_LINES)
    freeze = ["-m", "yourlabs.setup", "--settings", "three", "--freeze"]
    (folder / "plain.py").write_text(run(folder, environ, *freeze))
    for module in ("plain", "three"):
        run(folder, environ, "-c", f"import {module}")
    return environ


def run(folder: Path, environ: dict[str, str], *arguments: str) -> str:
    """Run Python in a process of its own; return what it printed."""
    command = [sys.executable, *arguments]
    result = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=True
    )
    return result.stdout


if __name__ == "__main__":
    sys.exit(main())
