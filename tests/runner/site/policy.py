"""Middleware that allows a page nothing but what the site itself serves as a file."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse


def strict(get: Callable[[HttpRequest], HttpResponse]) -> Callable[..., HttpResponse]:
    def respond(request: HttpRequest) -> HttpResponse:
        response = get(request)
        response["Content-Security-Policy"] = "default-src 'self'"
        return response

    return respond
