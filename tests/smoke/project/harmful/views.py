"""The views. Each does one thing; what is to become of it stands in `EXPECTED`."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import http.client
import multiprocessing
import os
import shutil
import signal
import smtplib
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.cache import cache, caches
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, default_storage, storages
from django.core.mail import EmailMessage, get_connection, send_mail
from django.db import connection, transaction
from django.http import HttpResponse
from django.utils.module_loading import import_string

from tests.smoke.project.harmful.models import Mark, Thing

PLACE = Path(settings.PLACE)
HTTP = f"127.0.0.1:{os.environ.get('SMOKE_HTTP', '80')}"
SMTP = f"127.0.0.1:{os.environ.get('SMOKE_SMTP', '25')}"
SOCKET = str(PLACE / "server.sock")
EARLY_STORAGE = FileSystemStorage(location=PLACE / "media")
EARLY_CACHE = caches["second"] if "second" in settings.CACHES else cache
EXPECTED: dict[str, str] = {}
"""By name: empty for ok, or the reason why the view is skipped."""

VIEWS: dict[str, Callable[..., Any]] = {}


def view(expected: str = "", *, name: str = "") -> Callable[..., Any]:
    """Make a view of what does something; it answers when that is done."""

    def decorate(function: Callable[[], Any]) -> Callable[[], Any]:
        def answer(request: Any) -> HttpResponse:
            return HttpResponse(str(function()))

        key = name or function.__name__
        VIEWS[key], EXPECTED[key] = answer, expected
        return function

    return decorate


# -- files ------------------------------------------------------------------

NEW, PRECIOUS = PLACE / "new.txt", PLACE / "precious.txt"
FOLDER = PLACE / "folder"
for key, path, act in (
    ("open_file", NEW, lambda: open(NEW, "w").close()),
    ("append", PRECIOUS, lambda: open(PRECIOUS, "a").close()),
    ("write_text", NEW, lambda: NEW.write_text("new")),
    ("open_by_number", NEW, lambda: os.open(NEW, os.O_CREAT | os.O_WRONLY)),
    ("remove", PRECIOUS, lambda: os.remove(PRECIOUS)),
    ("rename", PRECIOUS, lambda: os.rename(PRECIOUS, NEW)),
    ("move", PRECIOUS, lambda: shutil.move(PRECIOUS, NEW)),
    ("copy", NEW, lambda: shutil.copy(PRECIOUS, NEW)),
    ("replace_by_temporary", PRECIOUS, lambda: replace_by_temporary()),
    ("make_folder", PLACE / "made", lambda: os.mkdir(PLACE / "made")),
    ("remove_tree", FOLDER / "inner.txt", lambda: shutil.rmtree(FOLDER)),
    ("change_mode", PRECIOUS, lambda: os.chmod(PRECIOUS, 0o777)),
    ("change_owner", PRECIOUS, lambda: os.chown(PRECIOUS, 1, 1)),
    ("truncate", PRECIOUS, lambda: os.truncate(PRECIOUS, 0)),
    ("symlink", NEW, lambda: os.symlink(PRECIOUS, NEW)),
    ("link", NEW, lambda: os.link(PRECIOUS, NEW)),
    ("touch", PRECIOUS, lambda: os.utime(PRECIOUS)),
    ("fifo", NEW, lambda: os.mkfifo(NEW)),
    ("remove_beside", PRECIOUS, lambda: remove_beside()),
    ("through_a_link", PRECIOUS, lambda: through_a_link()),
    ("other_database", PLACE / "o.sqlite3", lambda: other_database()),
):
    view(f"it writes {path}", name=key)(act)


def replace_by_temporary() -> None:
    """Write atomically, as many libraries do."""
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write("other")
    os.replace(file.name, PRECIOUS)


def remove_beside() -> None:
    """Remove a file of a folder that is open."""
    folder = os.open(PLACE, os.O_RDONLY)
    try:
        os.remove("precious.txt", dir_fd=folder)
    finally:
        os.close(folder)


def through_a_link() -> None:
    """Open a file by a link in the folder for temporary files."""
    link = os.path.join(tempfile.mkdtemp(), "link")
    os.symlink(PRECIOUS, link)
    open(link, "w").close()


def other_database() -> None:
    """Write a database that Django knows nothing of."""
    with contextlib.closing(sqlite3.connect(PLACE / "o.sqlite3")) as other:
        other.execute("CREATE TABLE t (x)")


@view()
def temporary_files() -> None:
    """Make, fill and remove temporary files."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "file.txt").write_text("x")
        os.mkdir(os.path.join(folder, "inner"))
    with tempfile.TemporaryFile() as file:
        file.write(b"x")


@view()
def read_file() -> str:
    """Read."""
    return PRECIOUS.read_text()


@view()
def import_late() -> Any:
    """Import a module that nobody has imported yet."""
    import tests.smoke.project.harmful.late as late

    return late.__name__


@view()
def storage_save() -> None:
    """Save a file and read it."""
    name = default_storage.save("deep/new.txt", ContentFile(b"new"))
    assert default_storage.open(name).read() == b"new"
    assert default_storage.exists(name)
    assert default_storage.size(name) == 3
    assert Path(default_storage.path(name)).read_bytes() == b"new"
    assert default_storage.get_modified_time(name)
    assert default_storage.listdir("deep")[1] == ["new.txt"]


@view()
def storage_delete() -> None:
    """Delete a file; it is gone for this view."""
    default_storage.delete("precious.txt")
    assert not default_storage.exists("precious.txt")
    assert "precious.txt" not in default_storage.listdir("")[1]
    assert default_storage.save("precious.txt", ContentFile("x")) == "precious.txt"


@view()
def storage_after() -> None:
    """Find the storage as it was before any other view."""
    assert default_storage.open("precious.txt").read() == b"precious"
    assert default_storage.listdir("") == ([], ["precious.txt"])


@view()
def storage_open() -> None:
    """Write to a file of a storage."""
    with default_storage.open("precious.txt", "ab") as file:
        file.write(b" and more")
    assert EARLY_STORAGE.open("precious.txt").read() == b"precious and more"


@view()
def storage_of_the_project() -> None:
    """Overwrite a file in a storage of an alias and of a class of the project's."""
    name = storages["other"].save("precious.txt", ContentFile(b"other"))
    assert name == "precious.txt"
    assert storages["other"].open(name).read() == b"other"


# -- network ----------------------------------------------------------------


@view(f"it needs {HTTP}")
def call_http() -> None:
    """Call a server by its address."""
    urllib.request.urlopen(f"http://{HTTP}/", timeout=5)


@view(f"it needs localhost:{HTTP.split(':')[1]}")
def call_by_name() -> None:
    """Call a server by its name."""
    other = http.client.HTTPConnection("localhost", int(HTTP.split(":")[1]), timeout=5)
    other.request("GET", "/")
    other.getresponse()


@view(f"it needs {HTTP}")
def call_asynchronously() -> None:
    """Call a server from an event loop."""

    async def call() -> None:
        host, port = HTTP.split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        await writer.drain()

    asyncio.run(call())


@view(f"it needs {HTTP}")
def send_datagram() -> None:
    """Send without a connection."""
    host, port = HTTP.split(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.sendto(b"x", (host, int(port)))


@view(f"it needs {SOCKET}")
def call_socket() -> None:
    """Connect to a socket of this machine."""
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(SOCKET)


@view(f"it needs {SMTP}")
def talk_smtp() -> None:
    """Send a mail without Django."""
    host, port = SMTP.split(":")
    with smtplib.SMTP(host, int(port), timeout=5) as server:
        server.sendmail("a@example.com", ["b@example.com"], "x")


@view("it needs localhost:6379")
def talk_redis() -> None:
    """Write to Redis without Django."""
    import redis

    redis.Redis(db=10).set("smoke-direct", "x")


@view()
def call_in_vain() -> None:
    """Call a server and do without its answer."""
    with contextlib.suppress(OSError):
        urllib.request.urlopen(f"http://{HTTP}/", timeout=5)


def unavailable(request: Any) -> HttpResponse:
    """Answer that something is missing."""
    try:
        urllib.request.urlopen(f"http://{HTTP}/", timeout=5)
    except OSError:
        return HttpResponse(status=503)
    return HttpResponse()


async def asynchronous(request: Any) -> HttpResponse:
    """Call a server from a view that is a coroutine."""
    await asyncio.to_thread(urllib.request.urlopen, f"http://{HTTP}/", None, 5)
    return HttpResponse()


VIEWS["unavailable"], EXPECTED["unavailable"] = unavailable, f"it needs {HTTP}"
VIEWS["asynchronous"], EXPECTED["asynchronous"] = asynchronous, f"it needs {HTTP}"


@view(f"it needs {HTTP}")
def call_in_pool() -> None:
    """Call a server in a thread, and wait for it."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor() as pool:
        pool.submit(urllib.request.urlopen, f"http://{HTTP}/", None, 5).result()


# -- mail and queues --------------------------------------------------------


@view()
def mail() -> None:
    """Send with the project's backend."""
    assert send_mail("subject", "text", "a@example.com", ["b@example.com"]) == 1


@view()
def mail_through_another() -> None:
    """Send through a backend that the settings do not name."""
    host, port = SMTP.split(":")
    _send_through("smtp", host=host, port=int(port))


@view()
def mail_to_files() -> None:
    """Send through a backend that writes files."""
    _send_through("filebased", file_path=str(PLACE / "media"))


def backend_of(kind: str, **options: Any) -> Any:
    """A backend of Django's that the settings do not name."""
    path = f"django.core.mail.backends.{kind}.EmailBackend"
    if django.VERSION >= (6, 1):
        return import_string(path)(alias="another", **options)
    return get_connection(path, **options)


def _send_through(kind: str, **options: Any) -> None:
    other = backend_of(kind, **options)
    message = EmailMessage("subject", "text", "a@example.com", ["b@example.com"])
    assert other.send_messages([message]) == 1


@view()
def celery_late() -> None:
    """Send a task of a library that was not imported until now."""
    from tests.smoke.project.harmful.work import add, app

    add.delay(1, 2)
    app.send_task("add", [1, 2])
    (add.s(1, 2) | add.s(3)).apply_async()


@view()
def celery_group() -> None:
    """Send several tasks at once."""
    from celery import chord, group

    from tests.smoke.project.harmful.work import add

    group(add.s(1, 2), add.s(3, 4)).apply_async()
    chord([add.s(1, 2)], add.s(1)).apply_async()


@view()
def rq() -> None:
    """Enqueue with RQ."""
    import redis
    from rq import Queue

    assert Queue(settings.QUEUE, connection=redis.Redis(db=11)).enqueue(print).id


@view()
def dramatiq() -> None:
    """Enqueue with dramatiq."""
    import dramatiq as library
    from dramatiq.brokers.redis import RedisBroker

    broker = RedisBroker(url=f"{os.environ['SMOKE_REDIS']}/11")
    library.actor(print, broker=broker, actor_name=settings.QUEUE).send("x")


@view()
def huey() -> None:
    """Enqueue with huey."""
    from huey import RedisHuey

    app = RedisHuey(settings.QUEUE, url=f"{os.environ['SMOKE_REDIS']}/11")
    assert app.task()(print)("x").id


@view()
def channels() -> None:
    """Send to a group of Channels."""
    from channels_redis.core import RedisChannelLayer

    layer = RedisChannelLayer(hosts=[f"{os.environ['SMOKE_REDIS']}/11"])
    asyncio.run(layer.group_send(settings.QUEUE, {"type": "x"}))


@view()
def tasks() -> None:
    """Enqueue a task of Django's."""
    from tests.smoke.project.harmful.work import leave_a_file

    result = leave_a_file.enqueue()
    assert result.id
    assert not result.is_finished


# -- caches -----------------------------------------------------------------


@view()
def cache_set() -> None:
    """Overwrite, and read it."""
    assert cache.get("precious") is None
    cache.set("precious", "other")
    assert cache.get("precious") == "other"
    assert "precious" in cache
    assert cache.get_or_set("more", lambda: 1) == 1
    assert cache.incr("more") == 2
    assert caches["second"].get("precious") is None


@view()
def cache_clear() -> None:
    """Empty everything."""
    cache.clear()
    EARLY_CACHE.clear()


@view()
def cache_in_thread() -> None:
    """Write in another thread, and through an instance that was there before."""
    work = threading.Thread(target=lambda: cache.set("precious", "thread"))
    work.start()
    work.join()
    assert cache.get("precious") == "thread"
    EARLY_CACHE.set("precious", "early")


@view()
def cache_asynchronously() -> None:
    """Write from an event loop."""
    asyncio.run(cache.aset("precious", "loop"))


@view("it needs the real cache: Cache.drop_everything")
def cache_of_its_own() -> None:
    """Do what only Redis can."""
    cache.drop_everything()


# -- processes --------------------------------------------------------------


TRUE = shutil.which("true") or "/bin/true"


@view(f"it starts {TRUE}")
def program() -> None:
    """Run a program."""
    subprocess.run([TRUE], check=True)


@view(f"it starts {TRUE}")
def shell() -> None:
    """Run a shell."""
    subprocess.run(f"{TRUE} 1", shell=True, check=True)


@view(f"it starts {TRUE}")
def system() -> None:
    """Run a shell in an old way."""
    os.system(TRUE)


@view(f"it starts {TRUE}")
def spawn() -> None:
    """Run a program in a low way."""
    os.posix_spawn(TRUE, [TRUE], {})


@view(f"it starts {TRUE}")
def execute() -> None:
    """Become a program."""
    os.execv(TRUE, [TRUE])


@view("it starts a copy of the process")
def fork() -> None:
    """Make a copy of the process."""
    if os.fork() == 0:
        os._exit(0)


def _in_process(way: str) -> None:
    work = multiprocessing.get_context(way).Process(target=print)
    work.start()
    work.join()


view("it starts a copy of the process", name="process")(lambda: _in_process("fork"))
view(f"it starts {sys.executable}", name="spawned")(lambda: _in_process("spawn"))


@view(f"it sends a signal to process {os.getppid()}")
def kill() -> None:
    """Send a signal to another process."""
    os.kill(os.getppid(), signal.SIGCONT)


# -- databases --------------------------------------------------------------

BY_ITSELF = "it commits by itself: "


def sql(text: str, *, with_driver: bool = False) -> None:
    """Write a row and run some SQL."""
    Mark.objects.create(text="sql")
    if with_driver:
        connection.connection.cursor().execute(text)
        return
    with connection.cursor() as cursor:
        cursor.execute(text)


STATEMENTS = {
    "commit": "COMMIT",
    "comment": "/* x */ COMMIT",
    "line": "-- x\nCOMMIT",
    "second": "SELECT 1; COMMIT",
    "string": "SELECT ';'; COMMIT",
    "begin": "BEGIN",
    "rollback": "ROLLBACK",
}
if connection.vendor == "postgresql":
    STATEMENTS |= {
        "end": "END",
        "nested": "/* /* x */ */ COMMIT",
        "dollars": "SELECT $a$;$a$; COMMIT",
        "escaped": r"SELECT E'\''; COMMIT; --'",
        "do": "DO $$ BEGIN COMMIT; END $$",
        "call": "CALL smoke_commits()",
        "prepare": "PREPARE TRANSACTION 'x'",
    }
elif connection.vendor == "mysql":
    STATEMENTS |= {
        "executable": "/*!50000 COMMIT */",
        "escaped": r"SELECT '\''; COMMIT; -- '",
        "autocommit": "SET autocommit=1",
        "create": "CREATE TABLE smoke_made (x INT)",
        "lock": "LOCK TABLES harmful_mark WRITE",
        "immediate": "EXECUTE IMMEDIATE 'COMMIT'",
        "call": "CALL smoke_commits()",
        "myisam": "INSERT INTO smoke_myisam VALUES (1)",
        "global": "SET GLOBAL max_connections = 150",
    }
if connection.vendor != "sqlite":
    for key, text in STATEMENTS.items():
        for way in (False, True):
            view(BY_ITSELF, name=f"sql_{key}_{'driver' if way else 'django'}")(
                lambda text=text, way=way: sql(text, with_driver=way)
            )
else:
    for key in ("commit", "comment", "line", "rollback"):
        view(BY_ITSELF, name=f"sql_{key}")(lambda key=key: sql(STATEMENTS[key]))
    view(BY_ITSELF, name="script")(
        lambda: connection.cursor().executescript("DELETE FROM harmful_mark")
    )
    view(BY_ITSELF, name="attach")(lambda: sql(f"ATTACH '{PLACE}/o.db' AS o"))


@view()
def write() -> None:
    """Write."""
    Mark.objects.create(text="write")


@view()
def delete() -> None:
    """Delete everything."""
    Mark.objects.all().delete()


@view()
def savepoint() -> None:
    """Use transactions as they are meant."""
    with transaction.atomic():
        Mark.objects.create(text="savepoint")
        with contextlib.suppress(RuntimeError), transaction.atomic():
            Mark.objects.create(text="undone")
            raise RuntimeError
    assert not Mark.objects.filter(text="undone").exists()


@view()
def django_commit() -> None:
    """Commit as Django lets one."""
    Mark.objects.create(text="commit")
    transaction.commit()


@view(BY_ITSELF)
def driver_commit() -> None:
    """Commit with the driver."""
    Mark.objects.create(text="driver")
    connection.connection.commit()


@view()
def driver_close() -> None:
    """Close the connection behind Django's back."""
    Mark.objects.create(text="close")
    connection.connection.close()


@view("it writes beside its transaction: ")
def own_connection() -> None:
    """Write through a connection of its own, beside that of the request."""
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("INSERT INTO harmful_mark (text) VALUES ('beside')")
    finally:
        other.close()


@view(f"it writes {NEW}")
def callback_that_writes() -> None:
    """Leave something to be done once the rows are there."""
    transaction.on_commit(lambda: NEW.write_text("new"))


@view("failed: RuntimeError: callback")
def callback_that_raises() -> None:
    """Leave something to be done that fails."""

    def fail() -> None:
        raise RuntimeError("callback")

    transaction.on_commit(fail)


# -- threads and the end ----------------------------------------------------

SWITCHES = {
    "postgresql": [
        "SET default_transaction_read_only = off",
        "SELECT set_config('default_transaction_read_only', 'off', false)",
        "BEGIN READ WRITE",
    ],
    "mysql": ["SET SESSION TRANSACTION READ WRITE", "SET tx_read_only = 0"],
    "sqlite": ["PRAGMA query_only = OFF"],
}


def everything() -> None:
    """Do one of each, whatever of it is refused."""
    host, port = SMTP.split(":")

    def in_the_database(text: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(text)

    for text in SWITCHES.get(connection.vendor, []):
        with contextlib.suppress(Exception):
            in_the_database(text)
    for work in (
        lambda: Mark.objects.create(text="late"),
        lambda: in_the_database("INSERT INTO harmful_mark (text) VALUES ('late')"),
        lambda: in_the_database("SELECT smoke_writes()"),
        lambda: urllib.request.urlopen(f"http://{HTTP}/", None, 5),
        lambda: smtplib.SMTP(host, int(port), timeout=5).ehlo(),
        lambda: send_mail("subject", "text", "a@example.com", ["b@example.com"]),
        lambda: NEW.write_text("late"),
        lambda: os.remove(PRECIOUS),
        lambda: default_storage.delete("precious.txt"),
        lambda: default_storage.save("late.txt", ContentFile(b"late")),
        lambda: cache.set("precious", "late"),
        lambda: cache.clear(),
        lambda: subprocess.run(["touch", str(NEW)], check=True),
    ):
        with contextlib.suppress(Exception):
            work()


def everything_aside() -> None:
    """Do everything in a thread."""
    everything()
    connection.close()


@view()
def thread() -> None:
    """Do everything in a thread, and wait for it."""
    work = threading.Thread(target=everything_aside)
    work.start()
    work.join()


@view()
def lingering_thread() -> None:
    """Leave a thread behind that starts another, and outlives the run."""

    def linger() -> None:
        ends = time.monotonic() + 6
        while time.monotonic() < ends:
            threading.Thread(target=everything_aside).start()
            time.sleep(0.5)

    threading.Thread(target=linger).start()


@view()
def at_exit() -> None:
    """Leave something to be done when the process ends."""
    atexit.register(everything)


def thing(request: Any, pk: int) -> HttpResponse:
    """Show one, which there is none of."""
    return HttpResponse(Thing.objects.get(pk=pk).name)
