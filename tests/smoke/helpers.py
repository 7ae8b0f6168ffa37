"""Run the project that the smoke tests are tried on, in processes of its own."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = "tests.smoke.project.settings"


@dataclass(frozen=True)
class Finished:
    """A process that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def report(self) -> dict[str, Any]:
        """What was written to standard output, as JSON."""
        return json.loads(self.stdout)  # type: ignore[no-any-return]

    def by_name(self) -> dict[str, dict[str, Any]]:
        """The results of the main language by the name of their pattern."""
        rows: dict[str, dict[str, Any]] = {}
        for row in self.report["results"]:
            if not row["listed"]:
                rows.setdefault(row["name"], row)
        return rows


def run(*arguments: str, **environment: str) -> Finished:
    """Run ``python …`` in the project."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": SETTINGS, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def smoke(database: Path, *arguments: str, **environment: str) -> Finished:
    """Run ``manage.py smoke`` on a database."""
    environment = {"SMOKE_DB": str(database), **environment}
    return run("-m", "django", "smoke", *arguments, **environment)


def digests(database: Path) -> dict[str, str]:
    """A digest of the rows of each table but those of the smoke tests."""
    with sqlite3.connect(database) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
        tables = [name for (name,) in names if not name.startswith("yourlabs_smoke")]
        found = {}
        for table in tables:
            if table == "sqlite_sequence":
                continue
            rows = sorted(map(repr, connection.execute(f'SELECT * FROM "{table}"')))
            found[table] = hashlib.sha256("\n".join(rows).encode()).hexdigest()
    connection.close()
    return found
