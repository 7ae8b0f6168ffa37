"""The unsafe views; ``after`` comes last and must still be healthy."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.urls import path

from tests.smoke.project.unsafe import views

urlpatterns = [path("login/", login_not_required(views.after), name="login")]
urlpatterns += [
    path(f"{name}/", getattr(views, name), name=name)
    for name in (
        "write",
        "delete",
        "enter",
        "leave",
        "commit",
        "raw_commit",
        "driver_commit",
        "close",
        "driver_close",
        "autocommit",
        "durable",
        "left_open",
        "broken",
        "signal",
        "mail",
        "speak",
        "thread",
        "after",
    )
]
