"""Machines of a cluster: processes with a RUN_ROOT each, and a database of our own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.places import whole_lines
from tests.processes import Child
from tests.runner.test_databases import MariaDB, PostgreSQL, free_port

DEADLINE = 40.0
"""How long a test waits for what must happen, in seconds."""


class ClusterPostgreSQL(PostgreSQL):
    """A PostgreSQL server that counts statements, and can be reached from networks."""

    kind = "postgresql"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.stop()
        with (self._data / "postgresql.auto.conf").open("a") as conf:
            conf.write(
                "listen_addresses = '*'\n"
                "shared_preload_libraries = 'pg_stat_statements'\n"
                "max_connections = 200\n"
            )
        with (self._data / "pg_hba.conf").open("a") as hba:
            hba.write("host all all 10.0.0.0/8 trust\n")
        self.start()
        self._query("create extension pg_stat_statements")

    def kill(self) -> None:
        """Cut everything off at once, as a machine that loses its power does."""
        self._run("pg_ctl", "stop", "--wait", "--mode=immediate")

    def cut_connections(self) -> None:
        """End all sessions."""
        self._query(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = 'postgres' and pid <> pg_backend_pid()"
        )

    def make_read_only(self, *, is_read_only: bool) -> None:
        """Refuse all that writes, in new sessions; and end the others."""
        import psycopg

        word = "on" if is_read_only else "off"
        with psycopg.connect(
            host="127.0.0.1",
            port=self._port,
            user="postgres",
            dbname="postgres",
            options="-c default_transaction_read_only=off",
            autocommit=True,
        ) as connection:
            connection.execute(
                f"alter database postgres set default_transaction_read_only = {word}"
            )
        self.cut_connections()

    def begin_count(self) -> None:
        """Count statements from now on."""
        self._query("select pg_stat_statements_reset()")

    def count(self) -> list[tuple[str, int]]:
        """Return the statements since `begin_count`, with how often each was sent."""
        return [
            (text, int(calls))
            for text, calls in self._query(
                "select query, calls from pg_stat_statements where query not ilike "
                "'%pg_stat_statements%'"
            )
        ]

    def execute(self, sql: str) -> list[Any]:
        """Return the rows of a statement."""
        return self._query(sql)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Callable[[str], Any]]:
        """Execute statements in one transaction, which is rolled back at the end."""
        import psycopg

        connection = psycopg.connect(
            host="127.0.0.1", port=self._port, user="postgres", dbname="postgres"
        )
        with contextlib.closing(connection):
            yield connection.execute  # type: ignore[misc]

    def waiting(self) -> bool:
        """Say whether a session waits for a lock."""
        return self._query("select count(*) from pg_locks where not granted") != [(0,)]


class ClusterMariaDB(MariaDB):
    """A MariaDB server that counts statements, and can be reached from networks."""

    kind = "mariadb"
    options = (
        "--bind-address=0.0.0.0",
        "--max-connections=200",
        # What is committed outlives the process, as it does by default.
        "--innodb-flush-log-at-trx-commit=2",
    )

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._query("create user 'root'@'10.%'")
        self._query("grant all on *.* to 'root'@'10.%'")

    def kill(self) -> None:
        """Cut everything off at once, as a machine that loses its power does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def cut_connections(self) -> None:
        """End all sessions."""
        for (number,) in self._query(
            "select id from information_schema.processlist where db = 'test'"
        ):
            with contextlib.suppress(Exception):
                self._query(f"kill {number}")

    def make_read_only(self, *, is_read_only: bool) -> None:
        """Refuse all that writes, in new sessions; and end the others."""
        self._query(f"set global tx_read_only = {int(is_read_only)}")
        self.cut_connections()

    def begin_count(self) -> None:
        """Count statements from now on."""
        self._query("set global log_output = 'TABLE'")
        self._query("truncate mysql.general_log")
        self._query("set global general_log = on")

    def count(self) -> list[tuple[str, int]]:
        """Return the statements since `begin_count`, with how often each was sent."""
        self._query("set global general_log = off")
        return [
            (str(text), int(calls))
            for text, calls in self._query(
                "select left(argument, 60), count(*) from mysql.general_log where "
                "command_type = 'Query' and argument not like '%general_log%' "
                "group by 1"
            )
        ]

    def execute(self, sql: str) -> list[Any]:
        """Return the rows of a statement."""
        table = "yourlabs_runner_lease"
        return self._query(sql.replace(table, f"test.{table}"))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Callable[[str], Any]]:
        """Execute statements in one transaction, which is rolled back at the end."""
        import pymysql

        connection = pymysql.connect(
            host="127.0.0.1",
            port=self._port,
            user="root",
            database="test",
            # Otherwise a row that is looked for without an index locks all others.
            init_command="set session transaction isolation level read committed",
        )
        with contextlib.closing(connection), connection.cursor() as cursor:
            yield cursor.execute

    def waiting(self) -> bool:
        """Say whether a session waits for a lock."""
        status = "show global status like 'innodb_row_lock_current_waits'"
        return int(self._query(status)[0][1]) > 0


ClusterServer = ClusterPostgreSQL | ClusterMariaDB


class PgBouncer:
    """A pooler in transaction mode in front of a PostgreSQL server."""

    def __init__(self, folder: Path, server: ClusterPostgreSQL) -> None:
        self.database = {**server.database, "PORT": free_port()}
        (folder / "bouncer.users").write_text('"postgres" ""\n')
        (folder / "bouncer.ini").write_text(
            "[databases]\n"
            f"postgres = host=127.0.0.1 port={server.database['PORT']}\n"
            "[pgbouncer]\n"
            "listen_addr = *\n"
            f"listen_port = {self.database['PORT']}\n"
            f"unix_socket_dir = {folder}\n"
            "auth_type = trust\n"
            f"auth_file = {folder / 'bouncer.users'}\n"
            "pool_mode = transaction\n"
            "default_pool_size = 4\n"
            "server_reset_query_always = 0\n"
            # It would take 15 seconds to notice that the server is there again.
            "server_login_retry = 1\n"
        )
        self._process = subprocess.Popen(
            ["pgbouncer", "-q", str(folder / "bouncer.ini")],
            user="postgres" if not os.geteuid() else None,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Have a file system of a megabyte, which belongs to the owner of the folder."""
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True)
    os.chown(disk, folder.stat().st_uid, folder.stat().st_gid)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


class Network:
    """A network namespace with one cable to this machine, which can be pulled."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.address = f"10.213.{number}.1"
        self._cable = f"v{name}"[:14]
        inside = f"10.213.{number}.2/24"
        self._ip("netns", "add", name)
        peer = ("type", "veth", "peer", "name", "cable", "netns", name)
        self._ip("link", "add", self._cable, *peer)
        self._ip("addr", "add", f"{self.address}/24", "dev", self._cable)
        self._ip("link", "set", self._cable, "up")
        self._ip("-n", name, "addr", "add", inside, "dev", "cable")
        self._ip("-n", name, "link", "set", "cable", "up")
        self._ip("-n", name, "link", "set", "lo", "up")

    def _ip(self, *arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True)

    def pull(self) -> None:
        """Lose every packet from now on, in both directions, and tell nobody."""
        # The end inside stays as it is: there, nothing is noticed.
        self._ip("link", "set", self._cable, "down")

    def plug(self) -> None:
        """Carry packets again."""
        self._ip("link", "set", self._cable, "up")

    def close(self) -> None:
        """Take it away."""
        self._ip("link", "del", self._cable)
        self._ip("netns", "del", self.name)


class Cluster:
    """Machines that share a database and tell their runs in one log."""

    def __init__(self, folder: Path, database: dict[str, Any]) -> None:
        self.folder, self.database = folder, database
        self.log = folder / "log"
        self.log.touch()
        self.machines: list[Machine] = []

    def migrate(self) -> None:
        """Make the table."""
        code = (
            "import sys; from tests.runner.cluster.machine import configure; "
            "configure(*sys.argv[1:]); "
            "from django.core.management import call_command; "
            "call_command('migrate', verbosity=0)"
        )
        root = str(self.folder / "nowhere")
        with Child("-c", code, json.dumps(self.database), root, str(self.log)) as child:
            assert child.end() == 0, child.lines

    def machine(self, root: str, *declared: str, **environ: str) -> Machine:
        """Start a process of the machine that has the RUN_ROOT `root`."""
        machine = Machine(self, root, *declared, **environ)
        self.machines.append(machine)
        return machine

    def events(self, event: str = "enter", since: float = 0.0) -> list[dict[str, Any]]:
        """Return what the tasks told, in order."""
        lines = whole_lines(self.log)
        events = [json.loads(line) for line in lines]
        return [one for one in events if one["event"] == event and one["at"] >= since]

    def overlaps(self) -> list[tuple[Any, Any]]:
        """Return the runs of different processes that went on at the same time."""
        going_on: dict[int, dict[str, Any]] = {}
        found = []
        for line in whole_lines(self.log):
            event = json.loads(line)
            if event["event"] == "enter":
                others = [one for pid, one in going_on.items() if pid != event["pid"]]
                found += [(other, event) for other in others]
                going_on[event["pid"]] = event
            else:
                going_on.pop(event["pid"], None)
        return found

    def wait_for_run(
        self,
        where: Callable[[dict[str, Any]], bool] = bool,
        *,
        since: float = 0.0,
        deadline: float = DEADLINE,
    ) -> dict[str, Any]:
        """Return the first run since a moment that is as wanted."""
        ends = time.monotonic() + deadline
        while True:
            found = [one for one in self.events(since=since) if where(one)]
            if found:
                return found[0]
            outputs = [machine.lines[-12:] for machine in self.machines]
            assert time.monotonic() < ends, f"no such run in {deadline} s: {outputs}"
            time.sleep(0.01)

    def kill_at_rest(self, machine: Machine, after: float = 0.02) -> float:
        """
        Kill it while no task runs; return when it was certainly dead.

        Args:
            machine: Whose chain it is.
            after: How many seconds a run needs after it has told its end.
        """
        known = len(self.events("leave"))
        while len(self.events("leave")) == known:
            time.sleep(0.001)
        time.sleep(after)
        return machine.kill()

    def close(self) -> None:
        """Kill every machine."""
        for machine in self.machines:
            with contextlib.suppress(ProcessLookupError):
                machine.process.send_signal(signal.SIGCONT)
            with machine:
                pass


class Machine(Child):
    """A process of a machine."""

    def __init__(
        self, cluster: Cluster, root: str, *declared: str, **environ: str
    ) -> None:
        database = cluster.database
        if "ADDRESS" in environ:
            database = {**database, "HOST": environ.pop("ADDRESS")}
        values = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
        super().__init__(
            "-m",
            "tests.runner.cluster.machine",
            json.dumps(database),
            str(cluster.folder / root),
            str(cluster.log),
            *declared,
            environ={**values, **environ},
        )
        self.root = root

    def kill(self) -> float:
        """Kill it; return when it was certainly dead."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        return time.monotonic()

    def stop(self) -> float:
        """Have it end in good order; return when it had let go."""
        self.send("stop")
        self.expect("stopped True")
        return time.monotonic()
