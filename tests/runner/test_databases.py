"""
Chains and the connections of a database server, which is the tests' own.

It is stopped and started under them, which the one of the machine would not like.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.processes import DEADLINE, Child

pytestmark = pytest.mark.services

AGES: list[dict[str, Any]] = [
    {"CONN_MAX_AGE": 0},
    {"CONN_MAX_AGE": None},
    {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True},
]
"""The ways in which Django can keep connections."""

LEFT_BROKEN = ["atomic", "generator", "autocommit", "begin", "unfinished"]


def age_name(age: dict[str, Any]) -> str:
    """Return the test's id for one of `AGES`."""
    return "checked" if len(age) > 1 else f"age-{age['CONN_MAX_AGE']}"


class Server(Protocol):
    """A database server that can be restarted."""

    database: dict[str, Any]
    """What Django's setting says of it."""

    def start(self) -> None:
        """Start it, and return when it answers."""

    def stop(self) -> None:
        """Cut its connections and stop it."""

    def sessions(self) -> list[str]:
        """Return what the connections of the chain are doing."""

    def rows(self) -> int:
        """Return how many rows the chain has written."""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run_as(user: str, *argv: str | Path) -> None:
    """Run a command as `user`, which a server refuses to be root for."""
    who = {"user": user, "group": user, "extra_groups": []} if not os.geteuid() else {}
    done = subprocess.run(
        argv,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **who,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, done.stdout


@contextlib.contextmanager
def folder_of(user: str) -> Iterator[Path]:
    """Return a directory of `user` with a short name: it has a socket in it."""
    folder = Path(tempfile.mkdtemp(prefix="db-"))
    if not os.geteuid():
        found = pwd.getpwnam(user)
        os.chown(folder, found.pw_uid, found.pw_gid)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


class PostgreSQL:
    """A cluster of its own."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "data"
        self._bin = max(Path("/usr/lib/postgresql").glob("*/bin"))
        self._port = free_port()
        self.database = {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "postgres",
            "USER": "postgres",
            "HOST": "127.0.0.1",
            "PORT": self._port,
        }
        self._run("initdb", "--auth=trust", "--username=postgres", "--no-sync")
        (self._data / "postgresql.auto.conf").write_text(
            f"port = {self._port}\n"
            "listen_addresses = '127.0.0.1'\n"
            f"unix_socket_directories = '{folder}'\n"
            "fsync = off\n"
            "log_destination = stderr\n"
        )
        self.start()
        self._query("create table rows_written (number int)")

    def _run(self, program: str, *arguments: str) -> None:
        run_as("postgres", self._bin / program, "-D", str(self._data), *arguments)

    def start(self) -> None:
        self._run("pg_ctl", "start", "--wait", "-l", str(self._data / "log"))

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "--wait", "--mode=fast")

    def _query(self, sql: str) -> list[Any]:
        import psycopg

        where = f"host=127.0.0.1 port={self._port} user=postgres dbname=postgres"
        with psycopg.connect(
            where, application_name="a test", autocommit=True
        ) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def sessions(self) -> list[str]:
        return [
            state
            for (state,) in self._query(
                "select state from pg_stat_activity where datname = 'postgres' "
                "and application_name <> 'a test' and backend_type = 'client backend'"
            )
        ]

    def rows(self) -> int:
        ((count,),) = self._query("select count(*) from rows_written")
        return int(count)


class MariaDB:
    """A server with a data directory of its own."""

    options: tuple[str, ...] = ()

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.database = {
            "ENGINE": "django.db.backends.mysql",
            "NAME": "test",
            "USER": "root",
            "HOST": "127.0.0.1",
            "PORT": self._port,
        }
        run_as(
            "mysql",
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={folder / 'data'}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        )
        self.start()
        self._query("create database test")
        self._query("create table test.rows_written (number int) engine=InnoDB")

    def start(self) -> None:
        who = {"user": "mysql", "group": "mysql"} if not os.geteuid() else {}
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # type: ignore[call-overload]
                [
                    shutil.which("mariadbd") or "/usr/sbin/mariadbd",
                    "--no-defaults",
                    f"--datadir={self._folder / 'data'}",
                    f"--socket={self._folder / 'socket'}",
                    f"--pid-file={self._folder / 'pid'}",
                    f"--port={self._port}",
                    "--bind-address=127.0.0.1",
                    "--innodb-flush-log-at-trx-commit=0",
                    *self.options,
                ],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **who,
            )
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                self._query("select 1")
            except Exception:
                log = (self._folder / "log").read_text()
                assert time.monotonic() < deadline, log
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(DEADLINE)

    def _query(self, sql: str) -> list[Any]:
        import pymysql

        with (
            pymysql.connect(
                host="127.0.0.1", port=self._port, user="root", autocommit=True
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(sql)
            return list(cursor.fetchall())

    def sessions(self) -> list[str]:
        return [
            f"{command}{' in transaction' * in_transaction}"
            for command, in_transaction in self._query(
                "select p.command, (select count(*) from "
                "information_schema.innodb_trx t where t.trx_mysql_thread_id = p.id) "
                "from information_schema.processlist p "
                "where p.db = 'test' and p.id <> connection_id()"
            )
        ]

    def rows(self) -> int:
        ((count,),) = self._query("select count(*) from test.rows_written")
        return int(count)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Server]:
    """Return a PostgreSQL server."""
    with folder_of("postgres") as folder:
        server = PostgreSQL(folder)
        yield server
        server.stop()


@pytest.fixture(scope="module")
def mariadb() -> Iterator[Server]:
    """Return a MariaDB server."""
    with folder_of("mysql") as folder:
        server = MariaDB(folder)
        yield server
        server.stop()


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Server:
    """Return each of the servers in turn."""
    found: Server = request.getfixturevalue(request.param)
    return found


@contextlib.contextmanager
def chain_of(server: Server, age: dict[str, Any], *functions: str) -> Iterator[Child]:
    """Run a chain of `functions` in a process; it stops well."""
    database = json.dumps({**server.database, **age})
    with Child("-m", "tests.runner.chain_on_database", database, *functions) as child:
        yield child
        child.send("stop")
        child.expect("stopped True")
        assert [] == settled(server, [])
        assert 0 == child.end()


def failures(child: Child) -> int:
    """Return how many runs have failed, as the signal told."""
    return sum(line.startswith("failed ") for line in child.lines)


def settled(server: Server, expected: list[str]) -> list[str]:
    """Return the sessions once they are as expected, or as they are in the end."""
    deadline = time.monotonic() + 5
    while (found := server.sessions()) != expected and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


@pytest.mark.parametrize("age", AGES, ids=age_name)
def test_restart_in_a_run(server: Server, age: dict[str, Any]) -> None:
    """The run that the restart falls into fails, is reported, and the next works."""
    with chain_of(server, age, "write_twice") as child:
        child.expect("waiting")
        server.stop()
        server.start()
        child.send("go")
        child.expect("failed write_twice django.db")
        child.expect("waiting")
        before = server.rows()
        child.send("go")
        child.expect("wrote")

        assert before < server.rows()
        assert 1 == failures(child)


@pytest.mark.parametrize("age", AGES, ids=age_name)
def test_restart_under_a_chain(server: Server, age: dict[str, Any]) -> None:
    """Runs fail while the server is away, and rows go on when it is back."""
    with chain_of(server, age, "write_row") as child:
        child.expect("wrote")
        server.stop()
        child.skip()
        child.expect("failed write_row django.db")
        child.expect("failed write_row django.db")
        server.start()
        before = server.rows()
        child.skip()
        # The first may tell of a row that was counted already.
        for _ in range(1 + 3):
            child.expect("wrote")

        assert before + 3 <= server.rows()


@pytest.mark.parametrize("age", AGES, ids=age_name)
def test_restart_in_a_cooldown(server: Server, age: dict[str, Any]) -> None:
    """A restart of the server in a cooldown fails no run."""
    with chain_of(server, age, "write_row", "cool_down") as child:
        child.expect("wrote")
        child.expect("cooling down")
        server.stop()
        server.start()
        child.send("wake")
        child.expect("wrote")

        assert 0 == failures(child)


@pytest.mark.parametrize("age", AGES, ids=age_name)
def test_two_databases_that_rested(
    postgresql: Server, mariadb: Server, age: dict[str, Any]
) -> None:
    """A restart of several servers in a cooldown fails no run."""
    others = {"OTHERS": {"other": {**mariadb.database, **age}}}
    tasks = ("write_everywhere", "cool_down")
    with chain_of(postgresql, {**age, **others}, *tasks) as child:
        child.expect("cooling down")
        for server in (postgresql, mariadb):
            assert [] == settled(server, [])
            server.stop()
            server.start()
        child.send("wake")
        child.expect("wrote everywhere")

        assert 0 == failures(child)


@pytest.mark.parametrize("age", AGES, ids=age_name)
@pytest.mark.parametrize("mischief", LEFT_BROKEN)
def test_what_a_task_leaves_broken(
    server: Server, mischief: str, age: dict[str, Any]
) -> None:
    """A connection in a transaction, or unusable, does not reach the next run."""
    with chain_of(server, age, f"leave_{mischief}", "look", "cool_down") as child:
        for _ in range(3):
            child.expect(f"left {mischief}")
            child.expect("autocommit True")
            child.expect("cooling down")

            # Nor does the server have a session that rests in the cooldown.
            assert [] == settled(server, [])
            child.send("wake")
        assert 0 == failures(child)


@pytest.mark.parametrize("age", AGES, ids=age_name)
@pytest.mark.parametrize("changes", ["leave_session", "fail_in_session"])
def test_what_a_task_leaves_in_the_session(
    server: Server, age: dict[str, Any], changes: str
) -> None:
    """Settings, roles and locks of a session do not reach the next run."""
    with chain_of(server, age, "look", changes, "look", "cool_down") as child:
        fresh = child.expect("found")
        child.expect("left session" if changes == "leave_session" else "failed")
        changed = child.expect("found")

        assert fresh == changed


@pytest.mark.parametrize("mischief", ["session", "atomic"])
def test_pool_of_one(postgresql: Server, mischief: str) -> None:
    """A chain takes nothing from Django's own pool, and puts nothing into it."""
    pytest.importorskip("psycopg_pool")
    pool = {"OPTIONS": {"pool": {"min_size": 1, "max_size": 1, "timeout": 1}}}
    tasks = ("look", f"leave_{mischief}", "look", "cool_down")
    with chain_of(postgresql, pool, *tasks) as child:
        fresh = child.expect("found")
        changed = child.expect("found")
        child.expect("cooling down")
        child.send("look")
        requests = child.expect("found")
        child.send("wake")
        child.expect("found")

        assert fresh == changed == requests
        assert 0 == failures(child)


def test_pool_that_rested(postgresql: Server) -> None:
    """A pool whose connections died in a cooldown fails no run."""
    pytest.importorskip("psycopg_pool")
    pool = {"OPTIONS": {"pool": {"min_size": 1, "max_size": 1, "timeout": 1}}}
    with chain_of(postgresql, pool, "write_row", "cool_down") as child:
        child.expect("cooling down")
        postgresql.stop()
        postgresql.start()
        child.send("wake")
        child.expect("wrote")

        assert 0 == failures(child)
