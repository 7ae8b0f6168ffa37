"""Middleware that sites have of their own."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse


class EndSessions:
    """Logs everybody out whose session does not say when it began."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Look at the session before the view is called."""
        if request.user.is_authenticated and "since" not in request.session:
            logout(request)
        return self.get_response(request)
