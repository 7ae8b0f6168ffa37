"""The URLs of the project."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import include, path


def empty(request: HttpRequest) -> HttpResponse:
    """Show a page of the admin's with nothing in it."""
    return render(request, "admin/base_site.html", admin.site.each_context(request))


urlpatterns = [
    path("admin/", admin.site.urls),
    path("empty/", empty),
    path("runner/", include("yourlabs.runner.urls")),
]
