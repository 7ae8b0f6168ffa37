"""What a task did is told to services that wait for it, and no chain waits for them."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest

from tests.runner.fakes import log, make, quick, until
from yourlabs.runner.checkins import ping, sentry
from yourlabs.runner.checkins.sender import Event
from yourlabs.runner.checkins.sentry import monitor_config
from yourlabs.runner.contrib.webhook import Webhook
from yourlabs.runner.exceptions import InvalidTask
from yourlabs.runner.failures.downtime import Downtime, Latest
from yourlabs.runner.notifiers import Kind, Reason, Report
from yourlabs.runner.notify.told import Told


class Service(http.server.ThreadingHTTPServer):
    """Takes what is posted; may hang, or refuse."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[tuple[str, str]] = []
        self.code = 200
        self.gate = threading.Event()
        self.gate.set()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.gate.wait(20)
        self.server.got.append((self.path, body))
        self.send_response(self.server.code)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[Service]:
    server = Service()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.gate.set()
    server.shutdown()
    server.server_close()
    thread.join()


REPORT = Report(
    chain="chain",
    task="sync",
    path="tasks.sync",
    at=datetime.now(timezone.utc),
    reasons=(Reason(Kind.FIRST, "no"),),
    what=Downtime().failed(Latest("E", "no", "", "f", 1e9), lasted=0),
    told=Told(),
)


def test_pings(service: Service) -> None:
    """A run begins, is well, and fails with its traceback, where secrets are masked."""
    fails = False

    def sync() -> None:
        if fails:
            raise ValueError("password=hunter2")

    task = quick(sync)
    sender = ping(task.func, f"{service.url}/uuid/")
    thread = make(task)
    thread.loop.tick()
    until(lambda: ("/uuid", "") in service.got)
    fails = True
    thread.loop.tick()
    until(lambda: service.got[-1][0] == "/uuid/fail")

    assert "ValueError: password=***" in service.got[-1][1]
    assert sender.task is task
    thread.loop.release()


def test_five_a_minute(service: Service) -> None:
    """Of what comes too fast nothing is sent, but the first five."""
    task = quick(lambda: None)
    sender = ping(task.func, service.url)
    thread = make(task)
    for count in range(1, 6):
        thread.loop.tick()
        until(lambda count=count: len(service.got) >= count)  # type: ignore[misc]
    for _ in range(100):
        thread.loop.tick()
    began = time.monotonic()
    thread.loop.release()

    assert time.monotonic() - began < 1, "what is not due yet is not waited for"
    assert len(service.got) == 5
    assert sender._due


def test_failure_is_not_overtaken(service: Service) -> None:
    """A failure is sent though a success came after it."""
    service.gate.clear()
    task = quick(lambda: None)
    sender = ping(task.func, service.url)
    sender.post(Event("success"))
    until(lambda: sender._is_busy)
    sender.post(Event("fail", "boom"))
    sender.post(Event("success"))
    service.gate.set()
    until(lambda: len(service.got) == 3)

    assert [path for path, _ in service.got] == ["/", "/fail", "/"]


def test_service_that_hangs(service: Service) -> None:
    """A chain does not wait for it; at its end it does for a moment."""
    service.gate.clear()
    task = quick(lambda: None)
    ping(task.func, service.url)
    thread = make(task)
    began = time.monotonic()
    for _ in range(50):
        thread.loop.tick()

    assert time.monotonic() - began < 1
    thread.loop.release()
    assert time.monotonic() - began < 5


def test_service_that_refuses(service: Service) -> None:
    """It is said once, and the next run tries again."""
    service.code = 500
    task = quick(lambda: None)
    sender = ping(task.func, service.url)
    with log() as kept:
        for number in (1, 2):
            sender.post(Event("success"))
            until(lambda number=number: len(service.got) == number)
        until(lambda: not sender._is_busy)

    assert kept.actions().count("checkin_failed") == 1


@pytest.mark.parametrize("url", ["", "hc-ping.com/uuid", "file:///etc/passwd"])
def test_bad_address(url: str) -> None:
    """What is no address of the web is refused."""
    with pytest.raises(InvalidTask):
        ping(quick(lambda: None).func, url)


def test_sentry(monkeypatch: pytest.MonkeyPatch) -> None:
    """One check-in a minute, with what the monitor is to expect."""
    crons = pytest.importorskip("sentry_sdk.crons")
    got: list[dict[str, Any]] = []
    monkeypatch.setattr(crons, "capture_checkin", lambda **options: got.append(options))
    task = quick(lambda: None, success_cooldown=90, fail_cooldown=1_200)
    sender = sentry(task.func, "sync")
    for _ in range(20):
        sender.post(Event("success", "", 0.5))
    until(lambda: got)
    thread = make(task)
    thread.loop.tick()
    thread.loop.release()

    assert len(got) == 1
    assert (got[0]["monitor_slug"], got[0]["status"]) == ("sync", "ok")
    assert monitor_config(sender) == {
        "schedule": {"type": "interval", "value": 2, "unit": "minute"},
        "checkin_margin": 20,
        "max_runtime": 30,
        "timezone": "UTC",
    }


def test_webhook(service: Service) -> None:
    """A chat gets the subject and the body; what it refuses is raised."""
    Webhook(f"{service.url}/hook").send(REPORT)
    ((path, body),) = service.got

    assert path == "/hook"
    assert json.loads(body)["text"].startswith(f"*{REPORT.subject}*\n")
    service.code = 500
    with pytest.raises(OSError, match="500"):
        Webhook(service.url).send(REPORT)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_apprise(service: Service) -> None:
    """apprise delivers a report, or it is raised that it could not."""
    pytest.importorskip("apprise")
    from yourlabs.runner.contrib.apprise import Apprise

    Apprise(service.url.replace("http://", "json://")).send(REPORT)
    assert json.loads(service.got[0][1])["title"] == REPORT.subject
    service.code = 500
    with pytest.raises(OSError, match="could not"):
        Apprise(service.url.replace("http://", "json://")).send(REPORT)
    with pytest.raises(ValueError, match="understand"):
        Apprise("nonsense")


def test_collector(tmp_path: Any, settings: Any) -> None:
    """prometheus_client gets the same numbers as the runner's own page has."""
    client = pytest.importorskip("prometheus_client")
    from tests.runner.site.chains import with_a_past
    from yourlabs.runner.contrib.prometheus import Collector
    from yourlabs.runner.steer.reading import read_chain
    from yourlabs.runner.web.metrics import render

    settings.RUN_ROOT = str(tmp_path)
    thread = with_a_past("poll", fails=True)
    registry = client.CollectorRegistry()
    registry.register(Collector())
    parse = pytest.importorskip("prometheus_client.parser")
    parse = parse.text_string_to_metric_families
    text = client.generate_latest(registry).decode()
    own = render([read_chain("poll")], time.time())

    assert {f.name: f.samples for f in parse(text)} == {
        f.name: f.samples for f in parse(own)
    }
    thread.loop.release()


def test_health_check(tmp_path: Any, settings: Any) -> None:
    """django-health-check is told which chain is not well, and why."""
    exceptions = pytest.importorskip("health_check.exceptions")
    from tests.runner.site.chains import with_a_past
    from yourlabs.runner.contrib.health_check import Chains

    settings.RUN_ROOT = str(tmp_path)
    thread = with_a_past("poll", fails=True)
    Chains().run()
    with pytest.raises(exceptions.ServiceUnavailable, match="poll: poll fails"):
        Chains(strict=True).run()
    thread.loop.release()
