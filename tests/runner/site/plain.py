"""The runner's pages and nothing else: there are no users."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [path("runner/", include("yourlabs.runner.urls"))]
