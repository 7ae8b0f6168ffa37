"""Asks every page as every kind of user, in a process of its own; prints JSON."""

from __future__ import annotations

import json
import os
import random
import sys
from typing import Any

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import setup_test_environment  # noqa: E402

from tests.runner.site.chains import with_a_past  # noqa: E402
from yourlabs import runner  # noqa: E402

PATHS = (
    *("/runner/", "/runner/poll/", "/runner/nope/", "/runner/status.json"),
    *("/runner/health/", "/runner/metrics", "/runner/poll/control/"),
)
KINDS = ("nobody", "user", "staff", "superuser")


def client_of(kind: str, **options: Any) -> Client:
    """Return a browser of that kind of user."""
    client = Client(**options)
    if kind != "nobody":
        rights = {"is_staff": kind != "user", "is_superuser": kind == "superuser"}
        user, _ = User.objects.get_or_create(username=kind, defaults=rights)
        client.force_login(user)
    return client


def access() -> dict[str, Any]:
    """Return the status of every page for every kind of user."""
    found: dict[str, Any] = {}
    for kind in KINDS:
        client = client_of(kind)
        found[kind] = {path: client.get(path).status_code for path in PATHS}
        act = {"action": "silence", "reason": "<b>why</b>"}
        found[kind]["POST"] = client.post("/runner/poll/control/", act).status_code
        strict = client_of(kind, enforce_csrf_checks=True)
        response = strict.post("/runner/poll/control/", act)
        found[kind]["no token"] = response.status_code
    return found


def texts() -> dict[str, str]:
    """Return the pages as a superuser has them."""
    client = client_of("superuser")
    return {path: client.get(path).content.decode() for path in PATHS[:2]}


def storm() -> dict[str, Any]:
    """Ask for ten thousand things at random; return what was odd."""
    dice = random.Random(7)
    before = runner.status("poll")["chains"][0]
    clients = [client_of(kind) for kind in KINDS[:3]]
    words = ["poll", "nope", "..", "%00", "é", "health", "metrics", "a" * 300, "<b>"]
    codes: dict[int, int] = {}
    for _ in range(10_000):
        path = dice.choice(PATHS)
        if dice.random() < 0.5:
            tail = dice.choice(["", "/", "/control/", ".json"])
            path = f"/runner/{dice.choice(words)}{tail}"
        method = dice.choice(["get", "post", "head", "post", "get"])
        data = {"action": dice.choice(["wake", "pause", "x"]), "until": "-1"}
        headers = {"Authorization": dice.choice(["Bearer x", "Bearer", "Basic é", ""])}
        ask = getattr(dice.choice(clients), method)
        has_body = method == "post"
        response = ask(path, data if has_body else {}, headers=headers)
        code = response.status_code
        codes[code] = codes.get(code, 0) + 1
    after = runner.status("poll")["chains"][0]
    return {"codes": codes, "is_same": before == after}


def main() -> None:
    """Print what is asked for."""
    setup_test_environment()
    call_command("migrate", verbosity=0)
    kept = with_a_past("poll", fails=True)
    what = {"access": access, "texts": texts, "storm": storm}
    print(json.dumps(what[sys.argv[1]]()))
    assert kept
    os._exit(sys.stdout.flush() or 0)


if __name__ == "__main__":
    main()
