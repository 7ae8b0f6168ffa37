"""The pages in a real browser: on a phone, in the dark, under a strict policy."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

pytestmark = pytest.mark.services

ROOT = Path(__file__).parents[2]
SIZES = {"desktop": (1280, 900), "phone": (360, 780)}
KINDS = ("nobody", "user", "staff", "superuser")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-quic"),
)
PREPARE = """
import django; django.setup()
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.auth import SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY
from django.core.management import call_command
import os, sys
call_command("migrate", verbosity=0)
for kind in sys.argv[1:]:
    rights = {"is_staff": kind != "user", "is_superuser": kind == "superuser"}
    user = User.objects.create(username=kind, **rights)
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    print(kind, session.session_key, flush=True)
from tests.runner.site.chains import refuse, with_a_past
from yourlabs import runner
names = ["send_mail_retry_deferred", "clear_sessions", "update_index"]
if "SCREENSHOTS" not in os.environ:
    # It has its place in the test, and none in the documentation.
    names.append("a-very-long-name-" * 7)
kept = [with_a_past(name) for name in names]
kept.append(with_a_past("poll_prices", fails=True, raising=refuse))
runner.pause("clear_sessions", reason="deploy", by="ann")
runner.silence("poll_prices", by="bob")
for thread in kept:
    thread.check()
    thread.loop.tick()
print("ready x", flush=True)
sys.stdin.read()
os._exit(0)
"""
"""A process that has users and chains, for as long as somebody listens."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("site")


@pytest.fixture(scope="module")
def environ(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.runner.site.settings",
        "SITE_FOLDER": str(folder),
        "SITE_DATABASE": str(folder / "db.sqlite3"),
        "SITE_DEBUG": "1",
        "PYTHONPATH": str(ROOT),
    }


@pytest.fixture(scope="module")
def sessions(environ: dict[str, str]) -> Iterator[dict[str, str]]:
    """The session of each kind of user, while chains are owned."""
    process = subprocess.Popen(
        [sys.executable, "-c", PREPARE, *KINDS[1:]],
        cwd=ROOT,
        env={**environ, "RUNNER_AUTOSTART": "0"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    found: dict[str, str] = {}
    while "ready" not in found:
        kind, key = process.stdout.readline().split()
        found[kind] = key
    yield found
    process.stdin.close()
    process.wait(20)
    process.stdout.close()


@pytest.fixture(scope="module")
def site(environ: dict[str, str], sessions: dict[str, str]) -> Iterator[str]:
    """The address at which the project is served."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ["-m", "django", "runserver", f"127.0.0.1:{port}", "--noreload"]
    server = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            urlopen(f"http://127.0.0.1:{port}/runner/health/", timeout=5).close()
            break
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait(10)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options)
    yield driver
    driver.quit()


def look(browser: Any, size: str, dark: bool) -> None:
    """Be a phone or a desktop, light or dark."""
    width, height = SIZES[size]
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1}
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {**metrics, "mobile": size == "phone"}
    )
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def log_in(browser: Any, site: str, key: str | None) -> None:
    """Be a user."""
    browser.get(f"{site}/runner/health/")
    browser.delete_all_cookies()
    if key is not None:
        browser.add_cookie({"name": "sessionid", "value": key})


def violations(browser: Any) -> list[Any]:
    """Return what axe finds in the runner's part of the page."""
    axe = resources.files("axe_core_python").joinpath("axe.min.js").read_text()
    browser.execute_cdp_cmd("Runtime.evaluate", {"expression": axe})
    found = browser.execute_async_script(
        "const done = arguments[0];"
        "axe.run('.runner').then(result => done(result.violations))"
    )
    return [
        (one["id"], [node["html"][:200] for node in one["nodes"]][:3]) for one in found
    ]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [*SIZES])
@pytest.mark.parametrize("kind", KINDS)
def test_pages(
    browser: Any, site: str, sessions: dict[str, str], kind: str, size: str, dark: bool
) -> None:
    """No error in the console, nothing beside the screen, and axe finds nothing."""
    look(browser, size, dark)
    log_in(browser, site, sessions.get(kind))
    browser.get_log("browser")
    pages = {
        "status": "/runner/?refresh=off",
        "chain": "/runner/poll_prices/?refresh=off",
    }
    for name, path in pages.items():
        browser.get(f"{site}{path}")
        may_see = kind in ("staff", "superuser")
        assert bool(browser.find_elements(By.CSS_SELECTOR, ".runner")) == may_see
        if not may_see:
            browser.get_log("browser")
            continue
        shots = os.environ.get("SCREENSHOTS")
        if shots:
            file = Path(shots) / f"{name}-{kind}-{size}-{'dark' if dark else 'light'}"
            browser.save_screenshot(f"{file}.png")
        for details in browser.find_elements(By.CSS_SELECTOR, ".runner summary"):
            details.click()
        wide = browser.execute_script(
            "return document.documentElement.scrollWidth - innerWidth"
        )
        assert wide <= 0, (name, wide)
        assert [] == [
            entry
            for entry in browser.get_log("browser")
            if "favicon" not in entry["message"]
        ]
        assert [] == violations(browser)
        browser.get_log("browser")


def test_steer(browser: Any, site: str, sessions: dict[str, str]) -> None:
    """A superuser reads what will happen, says why, and sees that it was asked."""
    look(browser, "phone", dark=False)
    log_in(browser, site, sessions["superuser"])
    browser.get(f"{site}/runner/clear_sessions/")
    summaries = browser.find_elements(By.CSS_SELECTOR, ".runner-actions summary")
    (summary,) = [one for one in summaries if one.text == "Resume"]
    summary.click()
    resume = summary.find_element(By.XPATH, "..")
    assert "when it is due" in resume.text
    resume.find_element(By.NAME, "reason").send_keys("deployed")
    resume.find_element(By.TAG_NAME, "button").click()
    said = '//li[contains(., "resume by superuser: deployed")]'

    WebDriverWait(browser, 20).until(lambda one: one.find_elements(By.XPATH, said))
    assert browser.current_url.endswith("/runner/clear_sessions/")
