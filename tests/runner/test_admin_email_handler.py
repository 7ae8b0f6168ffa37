"""Django's mails to the admins know nothing of runs, however their handler hangs."""

from __future__ import annotations

import logging
import logging.config
import logging.handlers
import queue
import sys
from collections.abc import Callable, Iterator

import pytest
from django.core import mail
from django.utils.log import AdminEmailHandler

from tests.runner.fakes import quick
from yourlabs.runner.chain.execution import Execution

logger = logging.getLogger("runner")


def on_the_logger() -> list[logging.Handler]:
    logger.addHandler(handler := AdminEmailHandler())
    return [handler]


def on_the_root() -> list[logging.Handler]:
    logging.getLogger().addHandler(handler := AdminEmailHandler())
    return [handler]


def in_memory() -> list[logging.Handler]:
    memory = logging.handlers.MemoryHandler(1, target=AdminEmailHandler())
    logging.getLogger().addHandler(memory)
    return [memory]


class Listened(logging.handlers.QueueHandler):
    """A queue whose listener is nowhere in the tree."""

    def enqueue(self, record: logging.LogRecord) -> None:
        super().enqueue(record)
        listener = logging.handlers.QueueListener(self.queue, AdminEmailHandler())  # type: ignore[arg-type]
        listener.start()
        listener.stop()


def behind_a_queue() -> list[logging.Handler]:
    logging.getLogger().addHandler(handler := Listened(queue.SimpleQueue()))
    return [handler]


class Wrapping(logging.Handler):
    """Has another handler do its work, as filters and rate limits do."""

    inner = AdminEmailHandler()

    def emit(self, record: logging.LogRecord) -> None:
        self.inner.emit(record)


def wrapped() -> list[logging.Handler]:
    logging.getLogger().addHandler(handler := Wrapping())
    return [handler]


class Blunt(AdminEmailHandler):
    """A project's own, which leaves out locks and filters."""

    def handle(self, record: logging.LogRecord) -> bool:
        self.emit(record)
        return True


def of_a_blunt_subclass() -> list[logging.Handler]:
    logging.getLogger().addHandler(handler := Blunt())
    return [handler]


class Own(AdminEmailHandler):
    """A project's own."""


def of_a_subclass() -> list[logging.Handler]:
    logging.getLogger().addHandler(handler := Own())
    return [handler]


def configured() -> list[logging.Handler]:
    """As Python 3.12 makes a queue, with its listener and what that hands on to."""
    before = list(logging.getLogger().handlers)
    logging.config.dictConfig(
        {
            "version": 1,
            "incremental": False,
            "disable_existing_loggers": False,
            "handlers": {
                "mail": {"class": "django.utils.log.AdminEmailHandler"},
                "queue": {
                    "class": "logging.handlers.QueueHandler",
                    "handlers": ["mail"],
                },
            },
            "loggers": {"runner": {"handlers": ["queue"]}},
        }
    )
    [handler] = [one for one in logger.handlers if one.name == "queue"]
    handler.listener.start()  # type: ignore[attr-defined]
    assert before is not None
    return [handler]


@pytest.fixture
def hang() -> Iterator[Callable[[Callable[[], list[logging.Handler]]], None]]:
    """Put a handler where a test wants it, and take it away at its end."""
    made: list[logging.Handler] = []
    yield lambda place: made.extend(place())
    for handler in made:
        if (listener := getattr(handler, "listener", None)) is not None:
            listener.stop()
        logger.removeHandler(handler)
        logging.getLogger().removeHandler(handler)


@pytest.mark.parametrize(
    "place",
    [
        on_the_logger,
        on_the_root,
        in_memory,
        behind_a_queue,
        of_a_subclass,
        of_a_blunt_subclass,
        wrapped,
        pytest.param(
            configured,
            marks=pytest.mark.skipif(
                sys.version_info < (3, 12), reason="made so since Python 3.12"
            ),
        ),
    ],
)
@pytest.mark.parametrize("email", [True, False])
def test_a_failure_is_no_mail_of_django(
    place: Callable[[], list[logging.Handler]],
    email: bool,
    settings: pytest.FixtureRequest,
    hang: Callable[[Callable[[], list[logging.Handler]]], None],
) -> None:
    """Wherever it hangs, and although it came later: failures are not its mails."""

    def fail() -> None:
        raise ValueError("no")

    settings.RUNNER = {"EMAIL": email}  # type: ignore[attr-defined]
    hang(place)
    execution = Execution(quick(fail), "chain", "key")
    for _ in range(3):
        execution.run()
    logging.getLogger("shop").error("of the project")
    logger.critical("somebody took the pidfile away")
    for handler in [*logger.handlers, *logging.getLogger().handlers]:
        if (listener := getattr(handler, "listener", None)) is not None:
            listener.stop()

    expected = ["of the project", "somebody took the pidfile away"]
    if place in (on_the_logger, configured):
        expected = expected[1:]
    assert [message.subject.rpartition(": ")[2] for message in mail.outbox] == expected
