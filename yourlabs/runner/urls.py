"""The pages of the runner: ``path("runner/", include("yourlabs.runner.urls"))``."""

from __future__ import annotations

from django.urls import path

from yourlabs.runner.web import api, pages

app_name = "runner"

urlpatterns = [
    path("", pages.status_page, name="status"),
    path("status.json", api.status_json, name="status-json"),
    path("health/", api.health_page, name="health"),
    path("metrics", api.metrics_page, name="metrics"),
    path("<str:chain>/", pages.chain_page, name="chain"),
    path("<str:chain>/control/", pages.control_page, name="control"),
]
