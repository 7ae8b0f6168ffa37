"""Everything that a harmful view could reach, and what is left of it afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import redis
from aiosmtpd.controller import Controller

from tests.smoke import helpers

SETTINGS = "tests.smoke.project.harmful.settings"
REDIS = "redis://127.0.0.1:6379"
PREPARE = """
import django
django.setup()
from django.contrib.auth import get_user_model
from django.core.management import call_command
from tests.smoke.project.harmful.models import Mark
call_command("migrate", run_syncdb=True, verbosity=0)
get_user_model().objects.create_superuser("chief@example.com", "secret")
get_user_model().objects.create_user("owner@example.com", "secret")
Mark.objects.create(text="precious")
"""


class Servers:
    """An HTTP server, a mail server and a socket, which count who comes."""

    def __init__(self, folder: Path) -> None:
        self.seen: list[str] = []
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.smtp = Controller(self, hostname="127.0.0.1", port=free_port())
        self.smtp.start()
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(folder / "server.sock"))
        self.socket.listen()
        self.socket.setblocking(False)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        seen = self.seen

        class Handler(BaseHTTPRequestHandler):
            def setup(self) -> None:
                seen.append("http")
                super().setup()

            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        return Handler

    async def handle_EHLO(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, name: str, answers: list[str]
    ) -> list[str]:
        """Count who says anything."""
        self.seen.append("smtp")
        session.host_name = name
        return answers

    def close(self) -> list[str]:
        """Stop, and tell who came."""
        with contextlib.suppress(BlockingIOError):
            self.socket.accept()
            self.seen.append("socket")
        self.http.shutdown()
        self.http.server_close()
        self.smtp.stop()
        self.socket.close()
        return self.seen


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def tree(folder: Path) -> dict[str, tuple[str, int, int]]:
    """What a folder has: a digest, the mode and the time of each entry."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        text = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        when = status.st_mtime_ns if path.is_file() else 0
        found[str(path.relative_to(folder))] = (text, status.st_mode, when)
    return found


@contextlib.contextmanager
def postgresql(folder: Path) -> Iterator[tuple[dict[str, str], Callable[[], Any]]]:
    """A database of PostgreSQL: the environment that names it, and its rows."""
    name = f"smoke_{uuid.uuid4().hex[:10]}"
    where = {"host": "127.0.0.1", "user": "root"}
    with psycopg.connect(**where, dbname="test", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")

    def rows(*more: str) -> Any:
        with psycopg.connect(**where, dbname=name, autocommit=True) as connection:
            for text in more:
                connection.execute(text)
            names = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            ).fetchall()
            return {
                table: sorted(
                    map(repr, connection.execute(f'TABLE "{table}"').fetchall())
                )
                for (table,) in names
                if not table.startswith("yourlabs_smoke")
            }

    try:
        rows(
            "CREATE PROCEDURE smoke_commits() LANGUAGE plpgsql AS 'BEGIN COMMIT; END'",
            "CREATE FUNCTION smoke_writes() RETURNS INT LANGUAGE plpgsql AS 'BEGIN"
            " INSERT INTO harmful_mark (text) VALUES (0); RETURN 1; END'",
        )
        yield {"SMOKE_POSTGRES": name, "PGUSER": "root", "PGHOST": "127.0.0.1"}, rows
    finally:
        with psycopg.connect(**where, dbname="test", autocommit=True) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextlib.contextmanager
def mariadb(folder: Path) -> Iterator[tuple[dict[str, str], Callable[[], Any]]]:
    """The same of MariaDB."""
    name = f"smoke_{uuid.uuid4().hex[:10]}"
    where: dict[str, Any] = {"host": "127.0.0.1", "user": "root", "autocommit": True}

    def run(*texts: str, **more: Any) -> list[Any]:
        with contextlib.closing(pymysql.connect(**where, **more)) as connection:
            cursor = connection.cursor()
            for text in texts:
                cursor.execute(text)
            return list(cursor.fetchall())

    def rows() -> Any:
        tables = [table for (table,) in run("SHOW TABLES", database=name)]
        return {
            table: sorted(map(repr, run(f"SELECT * FROM `{table}`", database=name)))
            for table in tables
            if not table.startswith("yourlabs_smoke")
        }

    run(f"CREATE DATABASE {name}")
    try:
        run(
            "CREATE TABLE smoke_myisam (x INT) ENGINE=MyISAM",
            "CREATE VIEW smoke_view AS SELECT x FROM smoke_myisam",
            "CREATE TABLE smoke_triggering (x INT)",
            "CREATE TRIGGER smoke_trigger AFTER INSERT ON smoke_triggering"
            " FOR EACH ROW INSERT INTO smoke_myisam VALUES (NEW.x)",
            "CREATE PROCEDURE smoke_commits() COMMIT",
            "CREATE FUNCTION smoke_writes() RETURNS INT BEGIN"
            " INSERT INTO harmful_mark (text) VALUES (0); RETURN 1; END",
            database=name,
        )
        yield {"SMOKE_MARIADB": name}, rows
    finally:
        run(f"DROP DATABASE {name}")


@contextlib.contextmanager
def sqlite(folder: Path) -> Iterator[tuple[dict[str, str], Callable[[], Any]]]:
    """The same of SQLite."""
    path = folder / "project.sqlite3"
    yield {"SMOKE_DB": str(path)}, lambda: helpers.digests(path)


@contextlib.contextmanager
def psycopg2(folder: Path) -> Iterator[tuple[dict[str, str], Callable[[], Any]]]:
    """PostgreSQL with the older driver."""
    with postgresql(folder) as (named, rows):
        yield {**named, "SMOKE_DRIVER": "psycopg2"}, rows


@contextlib.contextmanager
def pool(folder: Path) -> Iterator[tuple[dict[str, str], Callable[[], Any]]]:
    """PostgreSQL with a pool of connections."""
    with postgresql(folder) as (named, rows):
        yield {**named, "SMOKE_DRIVER": "pool"}, rows


DATABASES = {one.__name__: one for one in (sqlite, postgresql, mariadb)}
DRIVERS = {one.__name__: one for one in (psycopg2, pool)}


def queued(queue: str) -> list[Any]:
    """What is at the broker under a name, and what of a cache is not as it was."""
    broker, cache = redis.Redis(db=11), redis.Redis(db=10)
    found = [key for key in broker.scan_iter() if queue.encode() in key]
    kept = cache.get(f"{queue}-default:1:precious")
    found += [key for key in cache.keys(f"{queue}*") if b"precious" not in key]
    broker.close()
    cache.close()
    return [*found, kept]


def environment(place: Path, servers: Servers, queue: str) -> dict[str, str]:
    """What the project's settings read."""
    return {
        "DJANGO_SETTINGS_MODULE": SETTINGS,
        "SMOKE_PLACE": str(place),
        "SMOKE_HTTP": str(servers.http.server_port),
        "SMOKE_SMTP": str(servers.smtp.port),
        "SMOKE_REDIS": REDIS,
        "SMOKE_QUEUE": queue,
        "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
    }
