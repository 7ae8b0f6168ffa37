"""Patterns that need a value; most views answer 404 to all but the right one."""

from __future__ import annotations

from pathlib import Path

from django.urls import include, path, re_path, register_converter
from django.views.static import serve

from tests.smoke.project.shop import models
from tests.smoke.project.ways import views
from tests.smoke.project.ways.views import generic


class Stubborn:
    """Writes nothing into a path."""

    regex = "[a-z]+"

    def to_python(self, value: str) -> str:
        """Take it as it is."""
        return value

    def to_url(self, value: object) -> str:
        """Refuse."""
        raise ValueError(value)


register_converter(Stubborn, "stubborn")
thing = views.Callable()
generic_shelf = generic.DetailView.as_view(
    model=models.Category, slug_url_kwarg="ref", template_name="page.html"
)
several = {
    "function": views.function,
    "several": views.several,
    "asynchronous": views.asynchronous,
    "converted": views.converted,
    "keywords": views.keywords,
    "closure": views.of_model(models.Purchase),
    "partial": views.greeted,
    "object": thing,
    "method": thing.method,
    "variables": views.Variables.as_view(),
    "own-get": views.OwnGet.as_view(),
    "own-property": views.OwnProperty.as_view(),
    "own-queryset": views.OwnQueryset.as_view(),
    "own-form": views.OwnForm.as_view(),
    "descriptor": views.Descriptor.as_view(),
    "initkwargs": generic_shelf,
    "late": views.late(),
    "hiding": views.hiding(views.OwnGet),
}
urlpatterns = [
    *(path(f"{name}/<str:ref>/", view, name=name) for name, view in several.items()),
    path("bare/<str:article_slug>/", views.sourceless, name="sourceless"),
    path("magic/<str:magic>/<slug:article_slug>/", views.magic, name="magic"),
    path("speaking/<stubborn:lang>/", views.anything, name="speaking"),
    path("apps/<str:app_label>/", views.of_app, name="app"),
    path("void/<path:path>", serve, {"document_root": "/not/there"}, name="void"),
    path("week/<int:year>/<int:week>/", views.Week.as_view(), name="week"),
    re_path(
        r"^day/(?P<slug>[\w-]+)/(?P<year>\d{4})/(?P<month>[a-z]{3})/(?P<day>\d\d)/$",
        views.of_day,
        name="day",
    ),
    path(
        "numbered/<slug:slug>/<int:year>/<int:month>/",
        views.Numbered.as_view(),
        name="numbered",
    ),
    path(
        "spelt/<slug:slug>/<int:year>/<str:month>/",
        views.Numbered.as_view(),
        name="spelt",
    ),
    path("year/<slug:slug>/<int:year>/", views.of_year, name="year"),
    re_path(r"^export\.(?P<format>[a-z]+)$", views.anything, name="format"),
    path("in/<str:lang>/", views.anything, name="language"),
    path("models/<app_label>/<model>/", views.of_label, name="label"),
    path(
        "files/<path:path>",
        serve,
        {"document_root": str(Path(__file__).parent)},
        name="files",
    ),
    path(
        "",
        include(
            (
                [
                    path(
                        "shop/<slug:category>/<slug:slug>/",
                        views.anything,
                        name="article",
                    )
                ],
                "shop",
            )
        ),
    ),
    path(
        "named/<app_label>/<model_name>/<int:pk>/", views.of_model_named, name="named"
    ),
    re_path(r"^wild/.*/$", views.nothing, name="wild"),
    path("stubborn/<stubborn:word>/", views.anything, name="stubborn"),
    path("made-up/<uuid:other>/", views.anything, name="made-up"),
]
