"""The pages: who may see what, what they say, and that nothing breaks them."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from tests.runner.site.chains import with_a_past
from tests.runner.test_steer import corrupt
from yourlabs import runner
from yourlabs.runner.chain.thread import RunnerThread
from yourlabs.runner.steer.reading import Reading
from yourlabs.runner.storage.desired import Desired, Hold
from yourlabs.runner.web.metrics import render

ROOT = Path(__file__).parents[2]
TOKEN = {"Authorization": "Bearer secret"}


def probe(what: str, folder: Path) -> Any:
    """Return what the project beside this file answers, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.runner.site.probe", what],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.runner.site.settings",
            "RUNNER_AUTOSTART": "0",
            "SITE_FOLDER": str(folder),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


# With users.


def test_who_may_see_what(tmp_path: Path) -> None:
    """Staff may look, superusers may steer, others learn not even what there is."""
    found = probe("access", tmp_path)
    pages = ["/runner/", "/runner/poll/", "/runner/nope/"]

    assert [found["nobody"][path] for path in pages] == [302, 302, 302]
    assert [found["user"][path] for path in pages] == [403, 403, 403]
    assert [found["staff"][path] for path in pages] == [200, 200, 404]
    for kind, codes in found.items():
        assert codes["/runner/health/"] == 200
        assert codes["/runner/metrics"] == 404, "no token is set"
        assert codes["/runner/status.json"] == (
            401 if kind in ("nobody", "user") else 200
        )
        assert codes["no token"] == 403, "of a form"
        assert codes["POST"] == (302 if kind == "superuser" else 403)
        assert codes["/runner/poll/control/"] == (405 if kind == "superuser" else 403)


def test_what_pages_say(tmp_path: Path) -> None:
    """They look like the admin's, have no script of their own, and escape all."""
    for path, text in probe("texts", tmp_path).items():
        assert 'id="site-name"' in text, "the admin's"
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert" in text, path
        assert "hunter2" not in text
        assert not re.search(r"\sstyle=|\son\w+=|<style", text)
        assert "http-equiv" not in text


@pytest.mark.timeout(900)
def test_ten_thousand_requests(tmp_path: Path) -> None:
    """Whatever is asked by whoever may not steer changes nothing, and is no 500."""
    found = probe("storm", tmp_path)

    assert found["is_same"]
    assert sum(found["codes"].values()) == 10_000
    assert set(found["codes"]) <= {"200", "301", "302", "401", "403", "404", "405"}


# Without users: who may is a function of the project.


@pytest.fixture
def poll(tmp_path: Path, settings: Any) -> RunnerThread:
    """A chain that is owned here, and pages that everybody may see and steer."""
    settings.RUN_ROOT = str(tmp_path / "run")
    settings.ROOT_URLCONF = "tests.runner.site.plain"
    settings.STATIC_URL = "/static/"
    settings.TEMPLATES = [
        {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}
    ]
    page = {"VIEW": lambda _: True, "CONTROL": lambda _: True, "TOKEN": "secret"}
    settings.RUNNER = {"PAGE": page}
    return with_a_past("poll", fails=True)


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=True)


def test_without_the_admin(poll: RunnerThread, client: Client) -> None:
    """The pages work without the admin, users and sessions, where that is allowed."""
    text = client.get("/runner/").content.decode()

    assert 'class="runner-plain"' in text
    assert "poll down for" in text
    assert client.get("/runner/")["Refresh"] == "10"
    still = client.get("/runner/?refresh=off")
    assert "Refresh" not in still.headers
    assert "Refresh" not in client.get("/runner/poll/").headers, "it has a form"


def test_not_offered(poll: RunnerThread, client: Client, settings: Any) -> None:
    """Without users and a function of one's own there is no page, which it says."""
    settings.RUNNER = {}
    for path in ("/runner/", "/runner/poll/"):
        response = client.get(path)
        assert response.status_code == 404
        assert b"needs django.contrib.auth" in response.content
    assert client.post("/runner/poll/control/", {"action": "wake"}).status_code == 403
    assert client.get("/runner/status.json").status_code == 401


@pytest.mark.parametrize(
    "given", [None, "Bearer wrong", "Bearer ", "Basic secret", "Bearer é", "secret"]
)
def test_wrong_token(
    poll: RunnerThread, client: Client, settings: Any, given: str | None
) -> None:
    """A wrong token, or none, is refused without a hint of what there is."""
    settings.RUNNER = {"PAGE": {"TOKEN": "secret"}}
    headers = {} if given is None else {"Authorization": given}
    for path in ("/runner/status.json", "/runner/metrics"):
        response = client.get(path, headers=headers)
        assert (response.status_code, response.content) == (401, b"Unauthorized")
        assert client.get(path, headers=TOKEN).status_code == 200


def test_status_json(poll: RunnerThread, client: Client) -> None:
    """It is what `runner.status` returns."""
    found = client.get("/runner/status.json").json()

    assert found["chains"] == runner.status()["chains"]


def test_health(poll: RunnerThread, client: Client) -> None:
    """It says one word, to everybody."""
    response = client.get("/runner/health/")
    assert (response.status_code, response.content) == (200, b"ok")
    strict = client.get("/runner/health/?strict=1")
    assert (strict.status_code, strict.content) == (503, b"unhealthy")
    assert client.post("/runner/health/").status_code == 405


def control(client: Client, **data: str) -> int:
    return client.post("/runner/poll/control/", data).status_code


def test_steering(poll: RunnerThread, client: Client) -> None:
    """Each action does what it says, is remembered, and shown."""
    assert control(client, action="pause", until="1 h", reason="<i>deploy</i>") == 302
    paused = runner.status("poll")["chains"][0]["paused"]
    assert (paused["by"], paused["reason"]) == ("somebody", "<i>deploy</i>")
    text = client.get("/runner/poll/").content.decode()
    assert "By somebody: &lt;i&gt;deploy&lt;/i&gt;" in text
    assert "Asked, not yet seen" in text
    assert control(client, action="wake") == 400
    assert control(client, action="resume") == 302
    assert control(client, action="silence", until="2030-01-01T10:00") == 302
    assert control(client, action="unsilence") == 302
    assert control(client, action="wake") == 302
    assert runner.status("poll")["chains"][0]["asked"] == {"wake": 1}
    assert "silence by somebody" in client.get("/runner/poll/").content.decode()


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"action": "forget"},
        {"action": "__class__"},
        {"action": "pause", "until": "soon"},
        {"action": "pause", "until": "-1"},
        {"action": "pause", "until": "nan"},
        {"action": "pause", "until": "9" * 400},
        {"action": "pause", "until": "0001-01-01"},
    ],
)
def test_bad_wishes(poll: RunnerThread, client: Client, data: dict[str, str]) -> None:
    """What cannot be done changes nothing, and the page says why."""
    before = runner.status("poll")["chains"]

    assert control(client, **data) == 400
    assert runner.status("poll")["chains"] == before
    assert client.post("/runner/nope/control/", {"action": "wake"}).status_code == 404


def test_metrics(poll: RunnerThread, client: Client) -> None:
    """Every series is there, in the format of Prometheus."""
    parser = pytest.importorskip("prometheus_client.parser")
    response = client.get("/runner/metrics", headers=TOKEN)
    families = {
        family.name: family
        for family in parser.text_string_to_metric_families(response.content.decode())
    }
    prefix = "yourlabs_runner_"

    assert response["Content-Type"].startswith("text/plain; version=0.0.4")
    assert sorted(families) == [
        prefix + name
        for name in (
            *("chain_next_run_timestamp_seconds", "chain_owned"),
            *("chain_owner_changes", "chain_paused", "info"),
            *("notifications_pending", "task_consecutive_failures"),
            *("task_duration_seconds", "task_last_run_timestamp_seconds"),
            *("task_last_success_timestamp_seconds", "task_runs"),
        )
    ]
    runs = {
        sample.labels["outcome"]: sample.value
        for sample in families[f"{prefix}task_runs"].samples
    }
    (task,) = runner.status()["chains"][0]["tasks"]
    assert runs["failure"] == task["failures"]
    assert sum(runs.values()) == task["runs"]
    (owned,) = families[f"{prefix}chain_owned"].samples
    assert (owned.labels, owned.value) == ({"chain": "poll"}, 1.0)


def test_pending_in_silence() -> None:
    """What is held back on purpose raises no alarm."""
    reading = Reading("sync", is_declared=True, channels={"mail": (2, 1)})
    pending = 'notifications_pending{chain="sync",channel="mail"}'
    assert f"{pending} 2.0" in render([reading], 0.0)
    reading.desired = Desired(silenced=Hold(None, "ann", ""))

    assert f"{pending} 0.0" in render([reading], 0.0)


@pytest.mark.timeout(600)
def test_pages_of_corrupt_documents(
    poll: RunnerThread, client: Client, tmp_path: Path
) -> None:
    """Whatever stands in the files, no page fails, and none writes them."""
    runner.silence("poll")
    poll.check()
    poll.loop.release()
    files = [tmp_path / "run" / name for name in ("poll.json", "poll.control")]
    whole = {path: path.read_bytes() for path in files}
    dice = random.Random(11)
    for number in range(200):
        path = files[number % 2]
        content = corrupt(whole[path], dice)
        path.write_bytes(content)
        for page in ("", "poll/", "status.json", "metrics"):
            response = client.get(f"/runner/{page}", headers=TOKEN)
            assert response.status_code == 200, page
        assert client.get("/runner/health/").status_code in (200, 503)
        assert path.read_bytes() == content
        path.write_bytes(whole[path])
