"""The harmful views, and a harmless one that comes last."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpResponse
from django.urls import path

from tests.smoke.project.harmful import detours
from tests.smoke.project.harmful.views import VIEWS, thing

EXPECTED = detours.EXPECTED

urlpatterns = [
    path(f"{name}/", login_not_required(view), name=name)
    for name, view in VIEWS.items()
]
urlpatterns += [
    path("thing/<int:pk>/", login_not_required(thing), name="thing"),
    path("login/", login_not_required(lambda r: HttpResponse()), name="login"),
]
