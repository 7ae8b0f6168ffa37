"""The URLs for programs: the status as JSON, health, and metrics."""

from __future__ import annotations

import time

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from yourlabs.runner import conf
from yourlabs.runner.steer import health
from yourlabs.runner.steer.document import status
from yourlabs.runner.steer.reading import read_chains
from yourlabs.runner.web import access, metrics

STARTED_AT = time.time()
"""When this process began to be able to run chains, in seconds since the epoch."""


@never_cache
@require_safe
def status_json(request: HttpRequest) -> HttpResponseBase:
    """Return the status: for who may see the page, and who has the token."""
    if not access.has_token(request) and not access.may_view(request):
        return _refused()
    return JsonResponse(status())


@never_cache
@require_safe
def health_page(request: HttpRequest) -> HttpResponseBase:
    """Say to everybody whether the chains get on, and nothing else."""
    strict = request.GET.get("strict") == "1"
    found = health.check(strict=strict, since=STARTED_AT)
    well = all(verdict is True for verdict, _ in found.values())
    text = "ok" if well else "unhealthy"
    return HttpResponse(text, status=200 if well else 503, content_type="text/plain")


@never_cache
@require_safe
def metrics_page(request: HttpRequest) -> HttpResponseBase:
    """Return the metrics to who has the token; there is no such page without one."""
    if not conf.page()["TOKEN"]:
        return HttpResponse("Not found", status=404, content_type="text/plain")
    if not access.has_token(request):
        return _refused()
    text = metrics.render(read_chains(), time.time())
    return HttpResponse(text, content_type=metrics.CONTENT_TYPE)


def _refused() -> HttpResponse:
    response = HttpResponse("Unauthorized", status=401, content_type="text/plain")
    response["WWW-Authenticate"] = "Bearer"
    return response
