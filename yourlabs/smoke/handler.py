"""Answer requests as Django does, and tell what happens on the way."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings
from django.core.handlers.base import BaseHandler
from django.core.handlers.wsgi import WSGIRequest
from django.core.signals import request_started
from django.http import HttpResponse
from django.urls import ResolverMatch


class SmokeHandler(BaseHandler):
    """Django's own handler, telling which view it calls."""

    def __init__(self) -> None:
        self.called: list[Any] = []
        self.passed: set[str] = set()
        self.urlconf: Any = None
        """What requests are resolved with, unless a middleware says otherwise."""

        self.inside: Callable[[Any], None] | None = None
        """What to call in the place of a view."""

        self.forced_user: Any = None
        super().__init__()

    def make_view_atomic(self, view: Any) -> Any:
        """Note the view: the handler asks for this just before it calls it."""
        self.called.append(view)
        return super().make_view_atomic(view)

    def adapt_method_mode(self, is_async: bool, *args: Any, **options: Any) -> Any:
        """Note which middleware passes a request on: it calls what is made here."""
        adapted: Any = super().adapt_method_mode(is_async, *args, **options)
        kind, _, path = (options.get("name") or "").partition(" ")
        if kind != "middleware" or is_async:
            return adapted

        def pass_on(request: Any) -> Any:
            self.passed.add(path)
            return adapted(request)

        return pass_on

    def resolve_request(self, request: Any) -> Any:
        """Find the view; what is to be called inside a request is called here."""
        if self.inside is None:
            return super().resolve_request(request)
        self.inside(getattr(request, "urlconf", None))
        request.resolver_match = ResolverMatch(_nothing, (), {})
        return request.resolver_match

    @property
    def stopped_by(self) -> str:
        """The middleware that did not pass the last request on; empty when all did."""
        stopped = (name for name in settings.MIDDLEWARE if name not in self.passed)
        return next(stopped, "")

    def __call__(self, environ: dict[str, Any]) -> Any:
        """Answer a WSGI request; its answer is not closed yet."""
        request_started.send(sender=self.__class__, environ=environ)
        request = WSGIRequest(environ)
        request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]
        if self.urlconf is not None:
            request.urlconf = self.urlconf
        if self.forced_user is not None:
            # What REST framework's own test client sets.
            request._force_auth_user = self.forced_user  # type: ignore[attr-defined]
        response: Any = self.get_response(request)
        response.wsgi_request = request
        return response


def _nothing(request: Any) -> HttpResponse:
    """Stand in for a view."""
    return HttpResponse()


class MissingVariable(str):
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


@contextlib.contextmanager
def watched_templates(missing: MissingVariable) -> Iterator[None]:
    """Let the engines of the project name the variables that are not found."""
    several: list[Any] = []
    try:
        from django.template import engines

        several = [getattr(item, "engine", None) for item in engines.all()]
    except Exception:  # a template engine that is not installed
        several = []
    changed = [one for one in several if getattr(one, "string_if_invalid", None) == ""]
    for engine in changed:
        engine.string_if_invalid = missing
    try:
        yield
    finally:
        for engine in changed:
            engine.string_if_invalid = ""
