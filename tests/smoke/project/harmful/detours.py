"""Views that do the same by rarer ways: past Django, past `open`, past a connection."""

from __future__ import annotations

import asyncio
import contextlib
import dbm.dumb
import io
import logging
import os
import pathlib
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import threading
import urllib.request
import uuid
import weakref
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from logging import handlers
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.core.cache import caches
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage, storages
from django.core.mail import EmailMessage, mail_admins
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.http import HttpResponse

from tests.smoke.project.harmful.models import Mark
from tests.smoke.project.harmful.views import (
    BY_ITSELF,
    EXPECTED,
    FOLDER,
    HTTP,
    NEW,
    PLACE,
    PRECIOUS,
    SMTP,
    TRUE,
    VIEWS,
    backend_of,
    sql,
    view,
)

HOST, PORT = HTTP.split(":")
DATABASE = PLACE / "o.sqlite3"
ASIDE = "it writes beside its transaction: "
EXECUTOR = ThreadPoolExecutor(1)

# -- files ------------------------------------------------------------------

for key, path, act in (
    ("raw_open", NEW, lambda: io.FileIO(NEW, "x").close()),
    ("path_touch", NEW, lambda: NEW.touch()),
    ("path_unlink", PRECIOUS, lambda: PRECIOUS.unlink()),
    ("path_replace", PRECIOUS, lambda: PRECIOUS.replace(NEW)),
    ("hard_link", NEW, lambda: NEW.hardlink_to(PRECIOUS)),
    ("make_folders", PLACE / "made", lambda: os.makedirs(PLACE / "made" / "deep")),
    ("copy_tree", PLACE / "made", lambda: shutil.copytree(FOLDER, PLACE / "made")),
    ("archive", NEW, lambda: zipfile.ZipFile(NEW, "w").close()),
    ("open_to_append", PRECIOUS, lambda: os.open(PRECIOUS, os.O_APPEND | os.O_WRONLY)),
    ("relative", NEW, lambda: open(os.path.relpath(NEW), "wb").close()),
    ("database_of_keys", f"{NEW}.dat", lambda: dbm.dumb.open(str(NEW), "n")),  # noqa: SIM115
    ("log_file", NEW, lambda: logging.FileHandler(NEW).close()),
    ("listen", PLACE / "s", lambda: listen(str(PLACE / "s"))),
    ("attach", DATABASE, lambda: past_memory(f"ATTACH '{DATABASE}' AS o")),
    ("vacuum", DATABASE, lambda: past_memory(f"VACUUM INTO '{DATABASE}'")),
    ("database_uri", DATABASE, lambda: sqlite3.connect(f"file:{DATABASE}", uri=True)),
    ("temporary_beside", PLACE, lambda: tempfile.mkstemp(dir=PLACE)),
    ("backup", DATABASE, lambda: sqlite3.connect(":memory:").backup(other_file())),
    ("new_alias", DATABASE, lambda: by_a_new_alias()),
    ("in_pool", NEW, lambda: EXECUTOR.submit(NEW.write_text, "x").result()),
    ("dump", NEW, lambda: call_command("dumpdata", "harmful", output=str(NEW))),
):
    view(f"it writes {path}", name=f"detour_{key}")(act)


def listen(path: str) -> None:
    """Make a socket that has a place in a folder."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)


def past_memory(text: str) -> None:
    """Reach a file through a database in memory."""
    with contextlib.closing(sqlite3.connect(":memory:")) as other:
        other.execute("CREATE TABLE t (x)")
        other.execute(text)


def other_file() -> sqlite3.Connection:
    """Open a database in a file."""
    return sqlite3.connect(DATABASE)


def by_a_new_alias() -> None:
    """Write a database that the project did not have when it was started."""
    name = f"alias_{uuid.uuid4().hex}"
    connections.settings[name] = {
        **connections.settings["default"],
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(DATABASE),
        "OPTIONS": {},
    }
    try:
        with connections[name].cursor() as cursor:
            cursor.execute("CREATE TABLE t (x INT)")
    finally:
        connections[name].close()
        del connections.settings[name], connections[name]


@view()
def listen_nowhere() -> None:
    """Make a socket that is in no folder."""
    listen(f"\0{uuid.uuid4()}")


@view()
def in_memory() -> None:
    """Use databases that are nowhere."""
    with contextlib.closing(sqlite3.connect(":memory:")) as other:
        other.execute("ATTACH ':memory:' AS o")
        other.execute("CREATE TABLE o.t (x)")
        other.backup(sqlite3.connect(os.path.join(tempfile.mkdtemp(), "copy")))


@view()
def storage_in_memory() -> None:
    """Save where only the process has it."""
    name = MEMORY.save("a.txt", ContentFile(b"a"))
    assert name == "a.txt"
    assert MEMORY.exists(name)
    assert MEMORY.open(name).read() == b"a"
    assert MEMORY.size(name) == 1
    MEMORY.delete("precious.txt")
    assert not MEMORY.exists("precious.txt")
    assert MEMORY.listdir("")[1] == ["a.txt"]


@view()
def storage_in_memory_after() -> None:
    """Find it as it was."""
    assert MEMORY.open("precious.txt").read() == b"precious"
    assert MEMORY.listdir("") == ([], ["precious.txt"])


@view()
def storage_of_another_kind() -> None:
    """Use a storage of the project's own that is in no folder of Django's."""
    plain = storages["plain"]
    name = plain.save("new.txt", ContentFile("new"))
    with plain.open("precious.txt", "ab") as file:
        file.write(b" and more")
    assert (plain.open(name).read(), plain.size(name)) == (b"new", 3)
    assert plain.open("precious.txt").read() == b"precious and more"
    plain.delete("precious.txt")
    assert not plain.exists("precious.txt")


MEMORY = InMemoryStorage()
MEMORY.save("precious.txt", ContentFile(b"precious"))

# -- network ----------------------------------------------------------------


@view(f"it needs {HTTP}")
def detour_urllib3() -> None:
    """Call a server with the library that most others use."""
    import urllib3

    urllib3.PoolManager(retries=False, timeout=5).request("GET", f"http://{HTTP}/")


@view(f"it needs {HTTP}")
def detour_connect_ex() -> None:
    """Connect in a way that raises nothing by itself."""
    with socket.socket() as other:
        other.connect_ex((HOST, int(PORT)))


@view(f"it needs {HTTP}")
def detour_datagrams() -> None:
    """Send datagrams from an event loop."""

    async def send() -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=(HOST, int(PORT))
        )
        transport.sendto(b"x")

    asyncio.run(send())


@view("it needs smoke.example.com")
def detour_names() -> None:
    """Look a name up."""
    socket.getaddrinfo("smoke.example.com", 80)


@view("it needs smoke.example.com")
def detour_names_in_a_loop() -> None:
    """Look a name up in an event loop."""
    asyncio.run(asyncio.open_connection("smoke.example.com", 80))


@view("it needs 192.0.2.1")
def detour_addresses() -> None:
    """Look an address up."""
    socket.getnameinfo(("192.0.2.1", 80), 0)


async def detour_task(request: Any) -> HttpResponse:
    """Leave a task of the event loop behind."""

    async def call() -> None:
        _, writer = await asyncio.open_connection(HOST, int(PORT))
        writer.write(b"GET / HTTP/1.0\r\n\r\n")

    task = asyncio.create_task(call())
    await asyncio.sleep(0)
    return HttpResponse(task.get_name())


async def detour_rows(request: Any) -> HttpResponse:
    """Write rows from a coroutine."""
    await Mark.objects.acreate(text="async")
    await sync_to_async(Mark.objects.all().delete)()
    return HttpResponse()


async def detour_rows_aside(request: Any) -> HttpResponse:
    """Write rows from a coroutine, in a thread of its own."""

    def write() -> None:
        try:
            Mark.objects.create(text="aside")
        finally:
            connection.close()

    await sync_to_async(write, thread_sensitive=False)()
    return HttpResponse()


for one, expected in ((detour_task, ""), (detour_rows, ""), (detour_rows_aside, ASIDE)):
    VIEWS[one.__name__], EXPECTED[one.__name__] = one, expected

# -- mail and caches --------------------------------------------------------


@view()
def detour_mail_by_hand() -> None:
    """Open, send and close."""
    host, port = SMTP.split(":")
    backend = backend_of("smtp", host=host, port=int(port))
    backend.open()
    message = EmailMessage("subject", "text", "a@example.com", ["b@example.com"])
    assert backend.send_messages([message]) == 1
    backend.close()
    mail_admins("subject", "text")


@view()
def detour_mail_of_a_log() -> None:
    """Log by mail, as no library of Django's does it."""
    host, port = SMTP.split(":")
    names = "a@example.com", ["b@example.com"]
    record = logging.makeLogRecord({"msg": "x"})
    handler = handlers.SMTPHandler((host, int(port)), *names, "x", timeout=5)
    handler.handleError = lambda record: None  # type: ignore[method-assign]
    handler.handle(record)


@view("it needs the real cache: Cache.client")
def detour_client() -> None:
    """Take the client of a cache."""
    caches["default"].client.flushdb()


@view("it needs ")
def detour_hidden_client() -> None:
    """Take the client of a cache that Django hides."""
    caches["default"]._cache.get_client(None, write=True).flushdb()


@view()
def detour_several_keys() -> None:
    """Use a cache in all its ways."""
    other = caches["second"]
    other.set_many({"a": 1, "b": 2}, timeout=None)
    assert other.get_many(["a", "b"]) == {"a": 1, "b": 2}
    assert (other.incr_version("a"), other.get("a")) == (2, None)
    other.delete_many(["a", "b"])
    assert not other.touch("b")
    assert async_to_sync(other.aget_or_set)("c", 3) == 3


@view()
def detour_results() -> None:
    """Do with the result of tasks what views do."""
    from celery import group

    from tests.smoke.project.harmful.work import add

    result = group(add.s(1, 2), add.s(3, 4)).apply_async()
    assert len(result.results) == 2
    assert result.id != add.apply_async((1, 2), countdown=5).id


# -- processes --------------------------------------------------------------

for key, act in (
    ("spawn_by_path", lambda: os.posix_spawnp(TRUE, [TRUE], {})),
    ("popen", lambda: os.popen(TRUE).read()),
    ("shell", lambda: subprocess.check_output(f"{TRUE} > {NEW}", shell=True)),
    ("loop", lambda: asyncio.run(asyncio.create_subprocess_exec(TRUE))),
    ("loop_shell", lambda: asyncio.run(asyncio.create_subprocess_shell(TRUE))),
    ("execute", lambda: os.execvpe(TRUE, [TRUE], {})),
):
    view(f"it starts {TRUE}", name=f"detour_{key}")(act)


@view("it starts a copy of the process")
def detour_spawnv() -> None:
    """Start a program the oldest way."""
    os.spawnv(os.P_WAIT, TRUE, [TRUE])


# -- databases --------------------------------------------------------------

INSERT = "INSERT INTO harmful_mark (text) VALUES ('beside')"


@view(ASIDE)
def detour_copy() -> None:
    """Write by a function, through a connection beside that of the request."""
    ask(connection.copy(), INSERT)


def ask(other: Any, text: str) -> None:
    """Ask a connection, and close it."""
    try:
        with other.cursor() as cursor:
            cursor.execute(text)
    finally:
        other.close()


if connection.vendor != "sqlite":

    @view(ASIDE)
    def detour_function() -> None:
        """Let a function write that is asked for beside the request's connection."""
        ask(connection.copy(), "SELECT smoke_writes()")

    @view(ASIDE)
    def detour_function_aside() -> None:
        """Let a function write that is asked for in a thread."""
        EXECUTOR.submit(
            lambda: ask(connections["default"], "SELECT smoke_writes()")
        ).result()

    @view()
    def detour_function_here() -> None:
        """Let a function write in the transaction of the request."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT smoke_writes()")


@view(ASIDE)
def detour_reconnect() -> None:
    """Connect anew under the hands of Django, and write."""
    connection.connect()
    Mark.objects.create(text="anew")


@view()
def detour_close_all() -> None:
    """Close all connections and go on, as threads of a library do."""
    Mark.objects.create(text="before")
    connections.close_all()
    Mark.objects.create(text="after")


class Farewell:
    """Does everything when it goes, at the latest with the interpreter."""

    def __init__(self, work: Any) -> None:
        self.work = work

    def __del__(self) -> None:
        self.work()


KEPT: list[Farewell] = []


@view()
def detour_farewell() -> None:
    """Leave something to be done when the interpreter ends, and a finalizer."""
    from tests.smoke.project.harmful.views import everything

    KEPT.append(Farewell(everything))
    weakref.finalize(KEPT[0], everything)
    KEPT.append(Farewell(partial(urllib.request.urlopen, f"http://{HTTP}/", None, 5)))


@view()
def detour_read_beside() -> None:
    """Read through a connection beside that of the request."""
    ask(connection.copy(), "SELECT 1")


@view("failed: ")
def detour_callback_later() -> None:
    """Leave something to be done that leaves something that fails."""
    with transaction.atomic():
        transaction.on_commit(partial(transaction.on_commit, lambda: 1 / 0))


@view()
def detour_thread_of_a_timer() -> None:
    """Do it all somewhat later."""
    from tests.smoke.project.harmful.views import everything_aside

    threading.Timer(0.1, everything_aside).start()


def login_of(vendor: str) -> dict[str, Any]:
    """Where the database of the project is."""
    name = connection.settings_dict["NAME"]
    key = "dbname" if vendor == "postgresql" else "database"
    return {"host": "127.0.0.1", "user": "root", key: name}


if connection.vendor == "postgresql":
    OLD = os.environ.get("SMOKE_DRIVER") == "psycopg2"

    @view("it needs 127.0.0.1:5432")
    def detour_psycopg2() -> None:
        """Connect with the older driver."""
        import psycopg2

        with psycopg2.connect(**login_of("postgresql")) as other:
            other.cursor().execute(INSERT)

    @view(BY_ITSELF)
    def detour_autocommit() -> None:
        """Let the driver commit each statement."""
        Mark.objects.create(text="autocommit")
        connection.connection.autocommit = True
        Mark.objects.create(text="autocommit")

    for key, text in {
        "vacuum": "VACUUM harmful_mark",
        "concurrently": "CREATE INDEX CONCURRENTLY x ON harmful_mark (text)",
        "create_database": "CREATE DATABASE smoke_made",
        "system": "ALTER SYSTEM SET work_mem = '4MB'",
        "discard": "DISCARD ALL",
    }.items():
        view(BY_ITSELF, name=f"detour_{key}")(
            lambda text=text: connection.cursor().execute(text)
        )
if connection.vendor == "postgresql" and OLD:

    @view(BY_ITSELF)
    def detour_isolation() -> None:
        """Let the driver commit each statement, in its older words."""
        Mark.objects.create(text="isolation")
        connection.connection.set_isolation_level(0)
        Mark.objects.create(text="isolation")

elif connection.vendor == "postgresql":
    import psycopg

    # Where there is a pool its threads connect.
    is_pool = os.environ.get("SMOKE_DRIVER") == "pool"
    NEEDS = ASIDE if is_pool else "it needs 127.0.0.1:5432"

    @view(NEEDS)
    def detour_psycopg() -> None:
        """Connect with the driver."""
        with psycopg.connect(**login_of("postgresql")) as other:
            other.execute(INSERT)

    @view(NEEDS)
    def detour_psycopg_in_a_loop() -> None:
        """Connect with the driver, from an event loop."""

        async def write() -> None:
            made = await psycopg.AsyncConnection.connect(**login_of("postgresql"))
            async with made as other:
                await other.execute(INSERT)

        asyncio.run(write())

    @view("it needs 127.0.0.1:5432")
    def detour_other_database() -> None:
        """Connect to a database that is not the project's."""
        psycopg.connect(**{**login_of("postgresql"), "dbname": "postgres"}).close()

elif connection.vendor == "mysql":
    import pymysql

    @view("it needs 127.0.0.1:3306")
    def detour_pymysql() -> None:
        """Connect with the driver."""
        with pymysql.connect(**login_of("mysql"), autocommit=True) as other:
            other.cursor().execute(INSERT)

    @view(BY_ITSELF)
    def detour_autocommit() -> None:
        """Let the driver commit each statement."""
        Mark.objects.create(text="autocommit")
        connection.connection.autocommit(True)

    for key, text in {
        "trigger": "INSERT INTO smoke_triggering VALUES (1)",
        "view": "INSERT INTO smoke_view VALUES (1)",
        "truncate": "TRUNCATE harmful_mark",
        "kill": "KILL 1",
        "load": f"LOAD DATA LOCAL INFILE '{PRECIOUS}' INTO TABLE harmful_mark (text)",
    }.items():
        view(BY_ITSELF, name=f"detour_{key}")(
            lambda text=text: connection.cursor().execute(text)
        )
else:
    view(BY_ITSELF, name="detour_vacuum_here")(lambda: sql("VACUUM"))

    @view("it writes a database that it attaches")
    def detour_attach_by_parameter() -> None:
        """Attach a file that the text of a statement does not name."""
        with contextlib.closing(sqlite3.connect(":memory:")) as other:
            other.execute("ATTACH ? AS o", (str(DATABASE),))
            other.execute("CREATE TABLE o.t (x)")

    @view(f"it writes {pathlib.Path(connection.settings_dict['NAME'])}")
    def detour_same_file() -> None:
        """Open the project's own file."""
        name = os.environ["SMOKE_DB"]
        with contextlib.closing(sqlite3.connect(name)) as other:
            other.execute(INSERT)
            other.commit()
