"""The logger of the runner's threads: handlers harm nobody, and keep no frames."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.runner.fakes import Keeping, log
from yourlabs.runner.log import logger, traceback_of


class Breaking(Keeping):
    """Raises instead of keeping."""

    def emit(self, record: logging.LogRecord) -> None:
        raise SystemExit("the handler")


@contextmanager
def breaking() -> Iterator[None]:
    handler = Breaking()
    logger.logger.addHandler(handler)
    try:
        yield
    finally:
        logger.logger.removeHandler(handler)


def caught() -> ValueError:
    try:
        raise ValueError("no")
    except ValueError as exc:
        return exc


def test_extra() -> None:
    """What is told apart by machines comes with each call."""
    with log() as kept:
        logger.info("%s", "text", extra={"action": "tested"})

    assert kept.actions() == ["tested"]
    assert kept.texts() == ["text"]


def test_handler_that_raises(capsys: pytest.CaptureFixture[str]) -> None:
    """What a handler raises is told on stderr, and goes no further."""
    with log(), breaking():
        logger.error("text")
        logger.failure("%s", "text", exc=caught(), text="the text", extra={})

    assert capsys.readouterr().err.count("SystemExit: the handler") == 2


def test_no_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is nothing to tell it on, nothing is told."""
    monkeypatch.setattr(sys, "stderr", None)

    with log(), breaking():
        logger.error("text")


def test_production(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`logging.raiseExceptions` is respected."""
    monkeypatch.setattr(logging, "raiseExceptions", False)

    with log(), breaking():
        logger.error("text")

    assert capsys.readouterr().err == ""


def test_failure() -> None:
    """Handlers see the live exception during the call, and the text afterwards."""
    seen = []
    exc = caught()

    class Looking(Keeping):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.exc_info)
            super().emit(record)

    handler = Looking()
    logger.logger.addHandler(handler)
    logger.failure("%s", "x", exc=exc, text="the text", extra={"action": "a"})
    logger.logger.removeHandler(handler)

    assert seen == [(ValueError, exc, exc.__traceback__)]
    assert handler.records[0].exc_info is None
    assert handler.records[0].exc_text == "the text"
    assert handler.actions() == ["a"]


def test_record_that_cannot_be_made(capsys: pytest.CaptureFixture[str]) -> None:
    """What a project's factory of records raises goes no further either."""

    def broken(*_: object, **__: object) -> logging.LogRecord:
        raise LookupError("no request in this thread")

    factory = logging.getLogRecordFactory()
    logging.setLogRecordFactory(broken)
    try:
        with log():
            logger.error("text")
            logger.failure("text", exc=caught(), text="the text", extra={})
    finally:
        logging.setLogRecordFactory(factory)

    assert capsys.readouterr().err.count("LookupError: no request") == 2


def test_failure_that_nobody_hears() -> None:
    """Below the level nothing is made."""
    with log(logging.CRITICAL) as kept:
        logger.failure("%s", "x", exc=caught(), text="", extra={})

    assert kept.records == []


def test_traceback_of() -> None:
    """The traceback of an exception is had whatever its class does."""

    class Shy(Exception):
        def __getattribute__(self, name: str) -> object:
            raise SystemExit

    with pytest.raises(Shy) as caught_shy:
        raise Shy

    assert traceback_of(caught_shy._excinfo[1]) is not None  # type: ignore[index]


def test_place() -> None:
    """A record says which line of which function logged it, as any other."""
    with log() as kept:
        logger.info("one")
        logger.log(logging.ERROR, "two")
        logger.failure("three", exc=caught(), text="", extra={})
        logger.exception("four")

    assert {(record.pathname, record.funcName) for record in kept.records} == {
        (__file__, "test_place")
    }
    lines = [record.lineno for record in kept.records]
    assert lines == list(range(lines[0], lines[0] + 4))
