"""Make one request in the sandbox and keep what it showed."""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from asgiref.sync import async_to_sync
from django.conf import settings
from django.core import mail
from django.core.handlers.base import BaseHandler
from django.core.handlers.wsgi import WSGIRequest
from django.core.signals import got_request_exception, request_finished, request_started
from django.db import close_old_connections
from django.http import HttpResponse
from django.test import RequestFactory
from django.urls import set_urlconf
from django.utils import timezone, translation
from django.views import debug

from yourlabs.smoke.roles import Role, logged_in
from yourlabs.smoke.sandbox import QueryRecorder, Sandbox

MAX_BODY = 2 * 1024**2
"""How many bytes of a streaming answer are read before it is closed."""

MAX_STREAM_SECONDS = 3.0
MAX_TRACEBACK = 64 * 1024
QUIET_LOGGERS = ("django.request", "django.security", "django.server")


class RequestTimeout(BaseException):
    """A request took longer than it may; no view can swallow this by accident."""


@dataclass(frozen=True)
class Prepared:
    """A URL that could only be written inside the sandbox."""

    url: str
    owner: Any = None


@dataclass
class Answer:
    """What one request showed."""

    url: str
    role: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    location: str = ""
    content_type: str = ""
    ms: float = 0.0
    queries: int = 0
    identical: tuple[int, str] = (0, "")
    missing_variables: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    views: list[Any] = field(default_factory=list)
    """The views that were really called, in order."""

    exception: BaseException | None = None
    traceback: str = ""
    request_text: str = ""
    more: list[str] = field(default_factory=list)
    """Query strings that the answer itself offers to try."""

    is_user_made: bool = False
    has_no_user: bool = False


class SmokeHandler(BaseHandler):
    """Django's own handler, telling which view it calls."""

    def __init__(self) -> None:
        self.called: list[Any] = []
        self.forced_user: Any = None
        super().__init__()

    def make_view_atomic(self, view: Any) -> Any:
        """Note the view: the handler asks for this just before it calls it."""
        self.called.append(view)
        return super().make_view_atomic(view)

    def __call__(self, environ: dict[str, Any]) -> Any:
        """Answer a WSGI request; its answer is not closed yet."""
        request_started.send(sender=self.__class__, environ=environ)
        request = WSGIRequest(environ)
        request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]
        if self.forced_user is not None:
            # What REST framework's own test client sets.
            request._force_auth_user = self.forced_user  # type: ignore[attr-defined]
        response: Any = self.get_response(request)
        response.wsgi_request = request
        return response


class _MissingVariable(str):
    """Stands in for ``string_if_invalid``; behaves as the empty string."""

    found: list[str]

    def __bool__(self) -> bool:
        frame = sys._getframe(1).f_locals
        expression, context = frame.get("self"), frame.get("context")
        variable = getattr(expression, "var", None)
        if variable is not None and len(self.found) < 50:
            template = getattr(getattr(context, "template", None), "name", None)
            text = f"{variable} in {template}" if template else str(variable)
            if text not in self.found:
                self.found.append(text)
        return False


class Client:
    """Asks for URLs as roles. One thread only.

    Args:
        sandbox: Where each request is undone.
        host: The value of the ``Host`` header.
        timeout: Seconds after which a request is given up; only in the main
            thread, elsewhere there is no limit. None means no limit.
    """

    def __init__(self, sandbox: Sandbox, *, host: str, timeout: float | None) -> None:
        self.sandbox = sandbox
        self.timeout = timeout
        self.host = host
        self.is_secure = bool(settings.SECURE_SSL_REDIRECT)
        self.handler = SmokeHandler()
        self.handler.load_middleware()
        self.missing = _MissingVariable()
        self.missing.found = []
        self.exceptions: list[BaseException] = []

    @property
    def base_url(self) -> str:
        """The scheme and host of every request."""
        return f"{'https' if self.is_secure else 'http'}://{self.host}"

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Take part in Django's signals and templates for a while."""
        loggers = [logging.getLogger(name) for name in QUIET_LOGGERS]
        saved = [(logger, logger.disabled) for logger in loggers]
        pages = debug.technical_500_response, debug.technical_404_response
        # Debug pages show every variable and take half a second each.
        debug.technical_500_response = lambda *a, **k: HttpResponse(status=500)
        debug.technical_404_response = lambda *a, **k: HttpResponse(status=404)
        request_started.disconnect(close_old_connections)
        request_finished.disconnect(close_old_connections)
        got_request_exception.connect(self._note_exception)
        language = translation.get_language()
        try:
            for logger in loggers:
                logger.disabled = True
            with self._watched_templates():
                yield
        finally:
            got_request_exception.disconnect(self._note_exception)
            request_started.connect(close_old_connections)
            request_finished.connect(close_old_connections)
            debug.technical_500_response, debug.technical_404_response = pages
            for logger, was_disabled in saved:
                logger.disabled = was_disabled
            if language:
                translation.activate(language)

    def _note_exception(self, **kwargs: Any) -> None:
        error = sys.exc_info()[1]
        if error is not None:
            self.exceptions.append(error)

    @contextlib.contextmanager
    def _watched_templates(self) -> Iterator[None]:
        changed: list[Any] = []
        several: list[Any]
        try:
            from django.template import engines

            several = [getattr(item, "engine", None) for item in engines.all()]
        except Exception:  # a template engine that is not installed
            several = []
        for engine in several:
            if getattr(engine, "string_if_invalid", None) == "":
                changed.append(engine)
                engine.string_if_invalid = self.missing
        try:
            yield
        finally:
            for engine in changed:
                engine.string_if_invalid = ""

    def ask(
        self,
        url: str,
        role: Role,
        *,
        user: Any = None,
        prepare: Callable[[Any], Prepared | None] | None = None,
        headers: dict[str, str] | None = None,
        is_forced: bool = False,
        inspect: Callable[[Any], list[str]] | None = None,
        cookies: dict[str, str] | None = None,
        as_owner: bool = False,
    ) -> Answer:
        """Request a URL as a role; everything it does is undone.

        Args:
            url: A path, with its query string.
            role: Who asks.
            user: Ask as this user instead of the role's own.
            prepare: Called first, with the user; makes rows and returns the URL,
                or None when it could not.
            as_owner: Ask as the user that the prepared row belongs to.
            headers: More WSGI variables.
            is_forced: Also tell REST framework who asks.
            inspect: Called with the response, before anything is undone; the
                query strings it returns end up in `Answer.more`.
            cookies: Cookies to send beside the session's.
        """
        recorder = QueryRecorder()
        answer = Answer(url, role.name)
        with self.sandbox.rolled_back(recorder):
            person = user if user is not None else role.present()
            answer.is_user_made = role.is_made and user is None
            answer.has_no_user = person is None and role.name != "anonymous"
            if prepare is not None:
                try:
                    prepared = prepare(person)
                except Exception:  # a model whose rows cannot be made
                    prepared = None
                answer.url = prepared.url if prepared else ""
                if prepared and as_owner:
                    person = prepared.owner
            if answer.url and not answer.has_no_user:
                with logged_in(role, person) as jar:
                    environ = self._environ(answer.url, {**(cookies or {}), **jar})
                    environ.update(headers or {})
                    self.handler.forced_user = person if is_forced else None
                    self._request(answer, environ, recorder, inspect)
        return answer

    def _environ(self, url: str, cookies: dict[str, str]) -> dict[str, Any]:
        parts = urlsplit(url)
        factory: Any = RequestFactory()
        environ: dict[str, Any] = factory._base_environ(
            PATH_INFO=_wsgi_path(parts.path),
            QUERY_STRING=parts.query,
            SERVER_NAME=self.host.split(":")[0],
            HTTP_HOST=self.host,
            SERVER_PORT="443" if self.is_secure else "80",
            HTTP_ACCEPT="*/*",
            HTTP_USER_AGENT="yourlabs-smoke",
            HTTP_COOKIE="; ".join(f"{key}={value}" for key, value in cookies.items()),
        )
        environ["wsgi.url_scheme"] = "https" if self.is_secure else "http"
        return environ

    def _request(
        self,
        answer: Answer,
        environ: dict[str, Any],
        recorder: QueryRecorder,
        inspect: Callable[[Any], list[str]] | None,
    ) -> None:
        self.handler.called = []
        self.exceptions.clear()
        self.missing.found = []
        response = None
        recorder.is_counting = True
        with warnings.catch_warnings(record=True) as caught, _quiet_output():
            warnings.simplefilter("default")
            started = time.perf_counter()
            try:
                with _limited(self.timeout):
                    response = self.handler(environ)
                    body = _read(response)
                    recorder.is_counting = False
                    answer.ms = round((time.perf_counter() - started) * 1000, 2)
                    _keep(answer, response, body)
                    if inspect is not None:
                        answer.more = inspect(response)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                # SystemExit, a timeout and generator errors end up here too:
                # the run has to outlive every view.
                answer.exception = error
                answer.status = 500
            answer.ms = answer.ms or round((time.perf_counter() - started) * 1000, 2)
            recorder.is_counting = False
            _close(response)
        _tidy_up()
        if answer.exception is None and self.exceptions:
            answer.exception = self.exceptions[-1]
        answer.views = list(self.handler.called)
        answer.queries = len(recorder.texts)
        answer.identical = recorder.largest_group()
        answer.missing_variables = self.missing.found[:20]
        answer.warnings = _texts(caught)
        answer.request_text = _request_text(environ)
        if answer.exception is not None:
            answer.traceback = _traceback(answer.exception)


def _wsgi_path(path: str) -> str:
    from urllib.parse import unquote_to_bytes

    return unquote_to_bytes(path).decode("iso-8859-1")


def _traceback(error: BaseException) -> str:
    try:
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        text = "".join(lines)
    except Exception:  # an exception whose text raises
        text = type(error).__name__
    return text[-MAX_TRACEBACK:]


def _keep(answer: Answer, response: Any, body: bytes) -> None:
    answer.status = response.status_code
    answer.headers = {key: str(value) for key, value in response.items()}
    answer.body = body
    answer.location = str(response.get("Location", ""))
    answer.content_type = str(response.get("Content-Type", ""))


def _read(response: Any) -> bytes:
    if not response.streaming:
        return bytes(response.content)
    if getattr(response, "is_async", False):
        return async_to_sync(_read_async)(response)
    kept, deadline = io.BytesIO(), time.monotonic() + MAX_STREAM_SECONDS
    for chunk in itertools.islice(response.streaming_content, 10_000):
        kept.write(chunk)
        if kept.tell() > MAX_BODY or time.monotonic() > deadline:
            break
    return kept.getvalue()


async def _read_async(response: Any) -> bytes:
    import asyncio

    kept = io.BytesIO()

    async def read() -> None:
        count = 0
        async for chunk in response.streaming_content:
            kept.write(chunk)
            count += 1
            if kept.tell() > MAX_BODY or count > 10_000:
                break

    with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
        await asyncio.wait_for(read(), MAX_STREAM_SECONDS)
    return kept.getvalue()


def _close(response: Any) -> None:
    if response is not None:
        with contextlib.suppress(Exception):
            response.close()


def _tidy_up() -> None:
    """Undo what a view may have changed for the whole thread."""
    translation.activate(settings.LANGUAGE_CODE)
    timezone.deactivate()
    set_urlconf(None)
    mail.outbox.clear()


def _texts(caught: list[Any]) -> list[str]:
    found: dict[str, None] = {}
    for item in caught:
        if not issubclass(item.category, (ResourceWarning, ImportWarning)):
            found.setdefault(f"{item.category.__name__}: {item.message}"[:300])
    return list(found)[:20]


def _request_text(environ: dict[str, Any]) -> str:
    query = f"?{environ['QUERY_STRING']}" if environ.get("QUERY_STRING") else ""
    lines = [f"GET {environ['PATH_INFO']}{query} HTTP/1.1"]
    for key, value in environ.items():
        if key.startswith("HTTP_") and key != "HTTP_COOKIE":
            lines.append(f"{key[5:].replace('_', '-').title()}: {value}")
    return "\n".join(lines)


@contextlib.contextmanager
def _quiet_output() -> Iterator[None]:
    """Keep what a view prints out of the report."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


@contextlib.contextmanager
def _limited(seconds: float | None) -> Iterator[None]:
    is_main = threading.current_thread() is threading.main_thread()
    if not seconds or not is_main or not hasattr(signal, "setitimer"):
        yield
        return

    def give_up(number: int, frame: Any) -> None:
        raise RequestTimeout(f"The request took longer than {seconds:g} s.")

    previous = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
