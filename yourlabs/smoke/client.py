"""Make one request in the sandbox and keep what it showed."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from django.conf import settings
from django.core.signals import got_request_exception, request_finished, request_started
from django.db import close_old_connections
from django.http import HttpResponse
from django.test import RequestFactory
from django.urls import set_urlconf
from django.utils import timezone, translation
from django.views import debug

from yourlabs.smoke.exchange import (
    Answer,
    bare_page,
    changelist_queries,
    close_response,
    keep,
    limited,
    quiet_output,
    read_body,
    request_text_of,
    traceback_text,
    warning_texts,
)
from yourlabs.smoke.handler import MissingVariable, SmokeHandler, watched_templates
from yourlabs.smoke.isolation.queries import QueryRecorder
from yourlabs.smoke.isolation.sandbox import Sandbox
from yourlabs.smoke.login import USER_AGENT, confirm, with_password
from yourlabs.smoke.roles import Role, cheap_passwords, logged_in

if TYPE_CHECKING:
    from yourlabs.smoke.knowledge import Candidate

T = TypeVar("T")
QUIET_LOGGERS = ("django.request", "django.security", "django.server")


class _Environs(RequestFactory):
    """Makes what a server calls the project with; the handler makes the request."""

    def request(self, **request: Any) -> Any:
        # A `WSGIRequest` would decode the path in it.
        return self._base_environ(**request)  # type: ignore[attr-defined]


class Client:
    """Asks for URLs as roles. One thread only.

    Args:
        sandbox: Where each request is undone.
        host: The value of the ``Host`` header.
        timeout: Seconds after which a request is given up; only in the main
            thread, elsewhere there is no limit. None means no limit.

    Attributes:
        urlconf: The URL patterns of the host; None is ``ROOT_URLCONF``.
        resolved_with: The URL patterns that the last probe would have been resolved
            with.
        has_resolved: Whether the last probe came as far as that.
    """

    def __init__(self, sandbox: Sandbox, *, host: str, timeout: float | None) -> None:
        self.sandbox = sandbox
        self.timeout = timeout
        self.host = host
        self.is_secure = bool(settings.SECURE_SSL_REDIRECT)
        self.handler = SmokeHandler()
        self.handler.load_middleware()
        self.missing = MissingVariable()
        self.missing.found = []
        self.exceptions: list[BaseException] = []
        self.urlconf: Any = None
        self.resolved_with: Any = None
        self.has_resolved = False
        self.is_asking = False

    def visit(
        self, host: str, urlconfs: dict[str, str], *, is_secure: bool | None = None
    ) -> None:
        """Ask another host from now on, by HTTPS or as before."""
        self.host, self.handler.urlconf = host, urlconfs.get(host)
        if is_secure is not None:
            self.is_secure = is_secure

    def probe(self) -> str:
        """Send a request as far as a view; return where it is redirected before."""
        self.has_resolved, location = False, ""

        def note(urlconf: Any) -> None:
            self.has_resolved, self.resolved_with = True, urlconf

        with contextlib.suppress(Exception):
            location = self._send_inside(note).headers.get("Location", "")
        target = urlsplit(location)
        is_same_page = target.netloc and target.path in ("", "/")
        return location if is_same_page else ""

    def within(self, function: Callable[[], T], table: str = "") -> T:
        """Call a function where views are called: a middleware may choose their rows.

        It is just called where a request does not come that far or is being made, or
        where the way there makes rows of the table, which are gone afterwards.
        """
        results: list[T] = []
        recorder = QueryRecorder()
        if not self.is_asking:
            with contextlib.suppress(Exception):
                self._send_inside(lambda _: results.append(function()), recorder)
        return results[0] if results and table not in recorder.written else function()

    def _send_inside(
        self, call: Callable[[Any], None], recorder: QueryRecorder | None = None
    ) -> Any:
        self.handler.inside, self.handler.forced_user = call, None
        try:
            recorder = recorder or QueryRecorder()
            with self._asking(), self.sandbox.rolled_back(recorder):
                response = self.handler(self._environ("/", {}))
                close_response(response)
                return response
        finally:
            self.handler.inside = None
            self._tidy_up()

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        self.is_asking = True
        try:
            yield
        finally:
            self.is_asking = False

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
        debug.technical_500_response = bare_page
        debug.technical_404_response = lambda *a, **k: HttpResponse(status=404)
        request_started.disconnect(close_old_connections)
        request_finished.disconnect(close_old_connections)
        got_request_exception.connect(self._note_exception)
        language = translation.get_language()
        try:
            for logger in loggers:
                logger.disabled = True
            with watched_templates(self.missing):
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

    def ask(
        self,
        url: str,
        role: Role,
        *,
        user: Any = None,
        prepare: Callable[[Any], Candidate | None] | None = None,
        headers: dict[str, str] | None = None,
        is_forced: bool = False,
        cookies: dict[str, str] | None = None,
        confirms: str = "",
    ) -> Answer:
        """Request a URL as a role; everything it does is undone.

        Args:
            url: A path, with its query string.
            role: Who asks.
            user: Ask as this user instead of the role's own.
            prepare: Called first, with the user; makes rows and returns the URL,
                or None when it could not.
            confirms: First pass the pages that ask once more who one is before
                this path; ``own`` for those before the URL itself.
            headers: More WSGI variables.
            is_forced: Also tell REST framework who asks.
            cookies: Cookies to send beside the session's.
        """
        recorder = QueryRecorder()
        answer = Answer(url, role.name)
        with self._asking(), self.sandbox.rolled_back(recorder):
            person = user if user is not None else role.present()
            answer.is_user_made = role.is_made and user is None
            answer.has_no_user = person is None and role.name != "anonymous"
            if prepare is not None:
                try:
                    prepared = prepare(person)
                except Exception:  # a model whose rows cannot be made
                    prepared = None
                answer.url = prepared.url if prepared else ""
            if answer.url and not answer.has_no_user:
                path = answer.url if confirms == "own" else confirms
                with self._session(role, person, path) as jar:
                    environ = self._environ(answer.url, {**(cookies or {}), **jar})
                    environ.update(headers or {})
                    self.handler.forced_user = person if is_forced else None
                    self._request(answer, environ, recorder)
            answer.refused = list(recorder.refused)
        answer.written = frozenset(recorder.written)
        return answer

    @contextlib.contextmanager
    def _session(self, role: Role, person: Any, path: str) -> Iterator[dict[str, str]]:
        """The cookies of a session, once the pages before a path are passed, if any."""
        if path:
            with cheap_passwords():
                person = with_password(person)
        with logged_in(role, person) as jar:
            if path:
                with cheap_passwords(), quiet_output(), contextlib.suppress(Exception):
                    jar = confirm(self, path, jar, person)
            yield jar

    def _tidy_up(self) -> None:
        """Undo what a view may have changed for the whole thread."""
        translation.activate(settings.LANGUAGE_CODE)
        timezone.deactivate()
        set_urlconf(self.urlconf)

    def _environ(self, url: str, cookies: dict[str, str]) -> dict[str, Any]:
        environ: Any = _Environs().get(
            url,
            secure=self.is_secure,
            SERVER_NAME=self.host.split(":")[0],
            HTTP_HOST=self.host,
            HTTP_ACCEPT="*/*",
            HTTP_USER_AGENT=USER_AGENT,
            HTTP_COOKIE="; ".join(f"{key}={value}" for key, value in cookies.items()),
        )
        return dict(environ)

    def _request(
        self,
        answer: Answer,
        environ: dict[str, Any],
        recorder: QueryRecorder,
    ) -> None:
        self.handler.called, self.handler.passed = [], set()
        self.exceptions.clear()
        self.missing.found = []
        response = None
        recorder.is_counting = True
        self.sandbox.databases.expect_callbacks()
        with warnings.catch_warnings(record=True) as caught, quiet_output():
            warnings.simplefilter("default")
            started = time.perf_counter()
            try:
                with limited(self.timeout):
                    response = self.handler(environ)
                    # A stream has answered when it begins, however long it lasts.
                    began = time.perf_counter() if response.streaming else None
                    body = read_body(response)
                    recorder.is_counting = False
                    answer.ms = _milliseconds(started, began)
                    keep(answer, response, body)
                    if answer.status < 400:
                        self.sandbox.databases.run_callbacks()
                    # A context may hold whatever the project likes.
                    with contextlib.suppress(Exception):
                        answer.more = changelist_queries(response)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                # SystemExit, a timeout and generator errors end up here too:
                # the run has to outlive every view.
                answer.exception = error
                answer.status = 500
            answer.ms = answer.ms or _milliseconds(started)
            recorder.is_counting = False
            close_response(response)
        self._tidy_up()
        if answer.exception is None and self.exceptions:
            answer.exception = self.exceptions[-1]
        answer.views = list(self.handler.called)
        answer.stopped_by = "" if answer.views else self.handler.stopped_by
        answer.queries = len(recorder.texts)
        answer.identical = recorder.largest_group()
        answer.missing_variables = self.missing.found[:20]
        answer.warnings = warning_texts(caught)
        answer.request_text = request_text_of(environ)
        if answer.exception is not None:
            answer.traceback = traceback_text(answer.exception)


def _milliseconds(started: float, ended: float | None = None) -> float:
    """How long something took; until now when it is not said when it ended."""
    return round(((ended or time.perf_counter()) - started) * 1000, 2)
