"""Tests of the admin pages in a real browser."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.smoke import helpers

pytestmark = pytest.mark.services
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,760",
)


@pytest.fixture
def site(database: Path) -> Iterator[str]:
    """The address of the project, served with some failures remembered."""
    defects = {"SMOKE_URLS": "tests.smoke.project.defects.urls"}
    names = ("zero", "anonymous", "picture", "template-tag", "permission-view")
    arguments = [part for name in names for part in ("--only", name)]
    helpers.smoke(database, *arguments, **defects)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "django",
            "runserver",
            f"127.0.0.1:{port}",
            "--noreload",
            "--insecure",
        ],
        cwd=helpers.ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": helpers.SETTINGS,
            "SMOKE_DB": str(database),
            "SMOKE_SERVED": "1",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(f"http://127.0.0.1:{port}/")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def _wait(address: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"{address} did not answer within a minute")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """A browser with an empty profile."""
    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.binary_location = "/usr/bin/chromium"
    service = webdriver.ChromeService("/usr/bin/chromedriver")
    driver = webdriver.Chrome(options, service)
    driver.implicitly_wait(20)
    yield driver
    driver.quit()


def log_in(site: str, browser: webdriver.Chrome) -> None:
    """Log in and open the list of failures."""
    browser.get(f"{site}/admin/login/?next=/admin/yourlabs_smoke/failurl/")
    browser.find_element(By.NAME, "username").send_keys("chief@example.com")
    browser.find_element(By.NAME, "password").send_keys("secret")
    browser.find_element(By.NAME, "password").submit()


def counts(browser: webdriver.Chrome) -> dict[str, str]:
    """How often each URL of the list was seen to fail."""
    return {
        row.find_element(By.CSS_SELECTOR, ".field-where").text: row.find_element(
            By.CSS_SELECTOR, ".field-count"
        ).text
        for row in browser.find_elements(By.CSS_SELECTOR, "#result_list tbody tr")
    }


def test_failures_are_seen_in_the_admin(site: str, browser: webdriver.Chrome) -> None:
    """A person logs in, sees the failures, and reads the traceback of one."""
    log_in(site, browser)

    table = browser.find_element(By.ID, "result_list").text
    assert "/zero/" in table
    assert "ZeroDivisionError: division by zero" in table
    target = os.environ.get("SMOKE_SCREENSHOT")
    if target:
        browser.save_screenshot(target)
    browser.find_element(By.LINK_TEXT, "/zero/").click()
    page = browser.find_element(By.ID, "content").text
    assert "Traceback (most recent call last)" in page
    assert browser.find_elements(By.CSS_SELECTOR, "[name=_save]") == []


def result_of_the_run(browser: webdriver.Chrome) -> str:
    """Load the list again, which tells the result of a run when it is there."""
    browser.refresh()
    told = browser.find_elements(By.CSS_SELECTOR, ".messagelist .warning")
    return told[0].text if told else ""


def test_failures_are_run_again_in_the_admin(
    site: str, database: Path, browser: webdriver.Chrome
) -> None:
    """Of two failures that are run again the healed one goes, the other is counted."""
    names = ("--only", "shop:missing", "--only", "shop:many")
    helpers.smoke(database, *names, "--max-queries", "5")
    log_in(site, browser)
    before = counts(browser)

    for url in ("/missing/", "/many/"):
        row = browser.find_element(By.XPATH, f"//tr[.//a[text()='{url}']]")
        row.find_element(By.NAME, "_selected_action").click()
    Select(browser.find_element(By.NAME, "action")).select_by_value("run_again")
    browser.find_element(By.NAME, "index").click()
    told = WebDriverWait(browser, 60).until(result_of_the_run)

    assert "2 patterns: 1 ok, 1 failed, 0 doubtful, 0 skipped" == told
    assert ("1", "1") == (before.pop("/missing/"), before.pop("/many/"))
    assert {**before, "/missing/": "2"} == counts(browser)
