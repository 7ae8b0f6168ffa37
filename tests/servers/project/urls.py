"""The pages of the project."""

from __future__ import annotations

import os

from django.http import HttpRequest, HttpResponse
from django.urls import path


def pid(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(os.getpid()))


def fork(request: HttpRequest) -> HttpResponse:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    return HttpResponse(str(os.getpid()))


urlpatterns = [path("", pid), path("fork", fork)]
