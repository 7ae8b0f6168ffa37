"""The admin pages of remembered failures: to read, search and run again."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern

from yourlabs.smoke import again
from yourlabs.smoke.guard import refusal
from yourlabs.smoke.models import FailUrl

MAX_AGAIN = 50
"""How many failures one action may request again."""

SESSION_KEY = "yourlabs_smoke_again"
"""Where a session has the file that gets the result of a run."""

PRIVATE = ("superuser", "listed")
"""The roles whose pages only a superuser may see; the clients of lists may be any."""


@admin.register(FailUrl)
class FailUrlAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Shows failures; nobody can add or change one by hand."""

    list_display = ("where", "role", "status", "reason", "count", "last_seen")
    list_filter = ("role", "status", "method", "exception_class", "last_seen")
    search_fields = ("pattern", "name", "url", "reason", "exception_text", "tags")
    date_hierarchy = "last_seen"
    actions = ("run_again",)

    @admin.display(description="URL", ordering="url")
    def where(self, failure: FailUrl) -> str:
        """The URL, or the route when no URL could be written."""
        return failure.url or failure.pattern

    def get_urls(self) -> list[URLPattern]:
        """All pages but the one to add a row, which nobody may see."""
        return [
            pattern
            for pattern in super().get_urls()
            if not str(pattern.name).endswith("_add")
        ]

    def get_exclude(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """What a superuser saw is for superusers."""
        is_private = obj is not None and obj.role in PRIVATE
        is_superuser = getattr(request.user, "is_superuser", False)
        return ("response",) if is_private and not is_superuser else ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never: only a run adds failures."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never: a failure is a record of what happened."""
        return False

    def has_run_permission(self, request: HttpRequest) -> bool:
        """Whether somebody may let rows change, by a run."""
        return super().has_change_permission(request)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Tell what a run said that this person started, when it has ended."""
        path = request.session.get(SESSION_KEY)
        if path and request.method == "GET":
            self._tell(request, path)
        return super().changelist_view(request, extra_context)

    def _tell(self, request: HttpRequest, path: str) -> None:
        result = again.result_of(path)
        if result is None:
            text = "The patterns are still being requested; load this page again."
            self.message_user(request, text)
            return
        del request.session[SESSION_KEY]
        code, text = result
        level = {0: messages.SUCCESS, 1: messages.WARNING}.get(code, messages.ERROR)
        self.message_user(request, text, level)

    @admin.action(description="Run again", permissions=["run"])
    def run_again(self, request: HttpRequest, queryset: QuerySet[FailUrl]) -> None:
        """Start to request the patterns of some failures again, where that may be."""
        text = refusal(is_production_allowed=False)
        chosen = list(queryset[: MAX_AGAIN + 1])
        if len(chosen) > MAX_AGAIN:
            text = f"At most {MAX_AGAIN} failures can be run again at once."
        if text:
            self.message_user(request, text, messages.ERROR)
            return
        if SESSION_KEY in request.session:
            self._tell(request, request.session[SESSION_KEY])
        if SESSION_KEY in request.session:
            return
        try:
            path = again.start(sorted({failure.pattern for failure in chosen}))
        except OSError as error:
            text = f"The smoke tests could not be run again: {error}"
            self.message_user(request, text, messages.ERROR)
            return
        request.session[SESSION_KEY] = path
