"""URLs with the hardest passwords, tried on real servers."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.setup.conftest import Project

pytestmark = pytest.mark.services

PASSWORD = "#?/@%+: ,;&='\"\\"
"""What a URL has to encode, and what the tools around it stumble over."""

ENCODED = quote(PASSWORD, safe="")

HOST = os.environ.get("TEST_SERVICES_HOST", "127.0.0.1")


@pytest.fixture
def name() -> str:
    """A name for a user and a database that nobody has."""
    return f"setup_{uuid.uuid4().hex[:12]}"


@pytest.fixture
def postgresql(name: str) -> Iterator[str]:
    """The URL of a new database of PostgreSQL."""
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(f"host={HOST} user=root dbname=test", autocommit=True) as root:
        quoted = root.execute("select quote_literal(%s)", [PASSWORD]).fetchone()[0]
        root.execute(f"create role {name} login password {quoted}")
        root.execute(f"create database {name} owner {name}")
        yield f"postgres://{name}:{ENCODED}@{HOST}/{name}?connect_timeout=10"
        root.execute(f"drop database {name}")
        root.execute(f"drop role {name}")


@pytest.fixture
def mariadb(name: str) -> Iterator[str]:
    """The URL of a new database of MariaDB."""
    pymysql = pytest.importorskip("pymysql")
    root = pymysql.connect(host=HOST, user="root", autocommit=True)
    with root, root.cursor() as cursor:
        cursor.execute(f"create database {name}")
        cursor.execute(f"create user {name}@'%%' identified by %s", [PASSWORD])
        cursor.execute(f"create user {name}@localhost identified by %s", [PASSWORD])
        cursor.execute(f"grant all on {name}.* to {name}@'%'")
        cursor.execute(f"grant all on {name}.* to {name}@localhost")
        yield f"mysql://{name}:{ENCODED}@{HOST}:3306/{name}?charset=utf8mb4"
        cursor.execute(f"drop database {name}")
        cursor.execute(f"drop user {name}@'%', {name}@localhost")


@pytest.fixture
def redis(name: str) -> Iterator[str]:
    """The URL of a new user of Redis."""
    client = pytest.importorskip("redis").Redis(HOST)
    client.execute_command(
        "ACL", "SETUSER", name, "on", f">{PASSWORD}", f"~*{name}*", "+@all"
    )
    yield f"redis://{name}:{ENCODED}@{HOST}:6379/1?key_prefix={name}&timeout=60"
    client.execute_command("ACL", "DELUSER", name)
    client.close()


USE_DATABASE = """\
from django.contrib.auth.models import User
User.objects.create_user("me")
assert User.objects.get().username == "me"
"""

USE_CACHE = """\
from django.core.cache import cache
cache.set("key", ["value"])
assert cache.get("key") == ["value"]
cache.delete("key")
"""


def migrate_and_use(project: Project, url: str) -> None:
    project.manage("migrate", DEBUG="1", DATABASE_URL=url)
    project.manage("shell", "-c", USE_DATABASE, DEBUG="1", DATABASE_URL=url)


def test_postgresql(project: Project, postgresql: str) -> None:
    """A database of PostgreSQL is migrated and used through its URL."""
    migrate_and_use(project, postgresql)


def test_mariadb(project: Project, mariadb: str) -> None:
    """A database of MariaDB is migrated and used through its URL."""
    text = (project.root / "package/settings.py").read_text()
    driver = "import pymysql\npymysql.version_info = (2, 2, 8, 'final', 0)\n"
    project.write(
        "package/settings.py", f"{driver}pymysql.install_as_MySQLdb()\n{text}"
    )

    migrate_and_use(project, mariadb)


def test_redis(project: Project, redis: str) -> None:
    """A cache in Redis is used through its URL."""
    project.manage("shell", "-c", USE_CACHE, DEBUG="1", CACHE_URL=redis)
