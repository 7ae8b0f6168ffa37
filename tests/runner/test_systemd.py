"""What systemd is told, on a real socket."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from yourlabs.runner.chain import systemd


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """A socket that listens as systemd's does."""
    address = str(tmp_path / "notify")
    if request.param == "abstract":
        address = f"@yourlabs-{secrets.token_hex(8)}"
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address.replace("@", "\0"))
        listener.settimeout(10)
        yield listener


def test_notify(manager: socket.socket) -> None:
    """Each state arrives as one datagram."""
    sent = [systemd.notify(state) for state in (systemd.READY, "STATUS=é\nWATCHDOG=1")]

    assert sent == [True, True]
    assert manager.recv(100) == b"READY=1"
    assert manager.recv(100) == "STATUS=é\nWATCHDOG=1".encode()


def test_manager_that_does_not_read(manager: socket.socket) -> None:
    """A manager that reads nothing delays nobody."""
    assert not all(systemd.notify("WATCHDOG=1" * 1000) for _ in range(10_000))


def test_no_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without systemd nothing is sent."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)

    assert systemd.notify(systemd.READY) is False


@pytest.mark.parametrize("address", ["/nowhere/notify", "notify", "vsock:2:1234"])
def test_unreachable_manager(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """An address that leads nowhere is no error."""
    monkeypatch.setenv("NOTIFY_SOCKET", address)

    assert systemd.notify(systemd.STOPPING) is False


@pytest.mark.parametrize(
    ("microseconds", "pid", "expected"),
    [
        ("30000000", None, 15.0),
        ("30000000", "mine", 15.0),
        ("30000000", "1", None),
        (None, None, None),
        ("0", None, None),
        ("-5", None, None),
        ("soon", None, None),
    ],
)
def test_watchdog_interval(
    monkeypatch: pytest.MonkeyPatch,
    microseconds: str | None,
    pid: str | None,
    expected: float | None,
) -> None:
    """The watchdog is fed twice as often as systemd expects, and only if it does."""
    if pid == "mine":
        pid = str(os.getpid())
    for name, value in {"WATCHDOG_USEC": microseconds, "WATCHDOG_PID": pid}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)

    assert systemd.watchdog_interval() == expected
