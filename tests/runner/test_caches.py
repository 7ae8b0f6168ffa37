"""A cache behind a socket, whose connections the server ends while a chain rests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache

from tests.runner.fakes import make, quick, started, until
from yourlabs.runner.chain import db

pytestmark = pytest.mark.services

redis = pytest.importorskip("redis")

URL = "redis://127.0.0.1:6379/15"
NAME = "runner-cache-test"


@pytest.fixture(autouse=True)
def in_redis(settings: Any) -> Iterator[None]:
    """The cache of the project is in Redis, and its connections have a name."""
    settings.RUNNER = {"EMAIL": False}
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": URL,
            "KEY_PREFIX": NAME,
            "OPTIONS": {"client_name": NAME},
        }
    }
    yield
    cache.delete("runs")
    db.close_caches()


def clients() -> list[dict[str, str]]:
    """Return the connections of the cache, as the server knows them."""
    with redis.Redis.from_url(URL) as server:
        found: list[dict[str, str]] = server.client_list()
    return [one for one in found if one["name"] == NAME]


def count() -> None:
    """Use the cache in a run."""
    cache.set("runs", cache.get("runs", 0) + 1)


def test_ended_while_it_rests() -> None:
    """A connection that ended in a cooldown fails no run."""
    thread = make(quick(count, success_cooldown=3600, fail_cooldown=3600))
    with started(thread):
        for number in range(1, 4):
            until(lambda n=number: thread.status().runs == n)  # type: ignore[misc]
            until(lambda: thread.status().next_run)
            with redis.Redis.from_url(URL) as server:
                for client in clients():
                    server.client_kill(client["addr"])
            thread.wake()
        until(lambda: thread.status().runs == 4)

        assert thread.status().failures == 0
    assert cache.get("runs") == 4


def test_connections_do_not_pile_up() -> None:
    """However many runs there were, they leave no connections behind."""
    (execution,) = make(quick(count)).tasks

    for _ in range(20):
        execution.run()

    assert execution.failures == 0
    until(lambda: not clients())
