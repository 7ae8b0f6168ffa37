"""The shop's URL patterns."""

from __future__ import annotations

from django.urls import path, re_path, register_converter

from tests.smoke.project.shop import models, views


class CategoryConverter:
    """Writes a shelf into a path as its slug, in capitals."""

    regex = "[A-Z]+"

    def to_python(self, value: str) -> models.Category:
        """Find the shelf."""
        try:
            return models.Category.objects.get(slug=value.lower())
        except models.Category.DoesNotExist as error:
            raise ValueError from error

    def to_url(self, value: object) -> str:
        """Write the shelf, or its slug."""
        return str(getattr(value, "slug", value)).upper()


register_converter(CategoryConverter, "category")

app_name = "shop"
urlpatterns = [
    path("articles/", views.ArticleList.as_view(), name="articles"),
    path("articles/new/", views.ArticleCreate.as_view(), name="new"),
    path("articles/<int:article_pk>/edit/", views.ArticleUpdate.as_view(), name="edit"),
    path("articles/<uuid:uuid>/uuid/", views.plain, name="uuid"),
    path("on/<int:year>/<int:month>/", views.ArticleMonth.as_view(), name="month"),
    path(
        "on/<int:year>/<str:month>/<int:day>/<int:pk>/",
        views.ArticleDay.as_view(),
        name="day",
    ),
    path("shelf/<slug:slug>/", views.CategoryDetail.as_view(), name="shelf"),
    path(
        "shelf/<slug:category>/<slug:slug>/",
        views.ArticleDetail.as_view(),
        name="article",
    ),
    path("capital/<category:shelf>/", views.plain, name="capital"),
    re_path(r"^either/(?P<kind>new|old)/$", views.plain, name="either"),
    re_path(r"^pages/(?:page-(?P<page>\d+)/)?$", views.plain, name="optional"),
    re_path(r"^unnamed/(\d{4})/([a-z]+)/$", views.plain, name="unnamed"),
    re_path(r"^nested/((?:[a-z]+/)*)$", views.plain, name="nested"),
    re_path(
        r"^(?:de|en)/alternation/(?P<n>[0-9]+)/?$", views.plain, name="alternation"
    ),
    path("object/", views.Callable(), name="object"),
    path("partial/", views.partial_view, name="partial"),
    path("option/", views.with_option, {"option": "x"}, name="option"),
    path("hidden/<int:pk>/", views.hidden, name="hidden"),
    path("source/<str:ref>/", views.by_source, name="source"),
    path("purchases/<str:slug>/", views.PurchaseDetail.as_view(), name="purchase"),
    path("coupons/<str:slug>/", views.CouponDetail.as_view(), name="coupon"),
    path("locked/<int:pk>/", views.LockedDetail.as_view(), name="locked"),
    path("ghost/<int:pk>/", views.GhostDetail.as_view(), name="ghost"),
    path("shy/<int:shy_id>/", views.shy, name="shy"),
    path("members/", views.members, name="members"),
    path("staff/", views.staff, name="staff"),
    path("chiefs/", views.chiefs, name="chiefs"),
    path("allowed/", views.allowed, name="allowed"),
    path("nobody/", views.nobody, name="nobody"),
    path("post/", views.post_only, name="post"),
    path("script/", views.script_only, name="script"),
    path("query/", views.needs_query, name="query"),
    path("key/", views.needs_key, name="key"),
    path("search/", views.search, name="search"),
    path("linked/<str:token>/", views.linked, name="linked"),
    path("linked/<str:token>/again/", views.linked_again, name="again"),
    path("unknown/<str:riddle>/", views.unknown, name="unknown"),
    path("magic/<str:magic>/", views.magic, name="magic"),
    path("gone/", views.gone, name="gone"),
    path("teapot/", views.teapot, name="teapot"),
    path("missing/", views.missing, name="missing"),
    path("away/", views.away, name="away"),
    path("elsewhere/", views.elsewhere, name="elsewhere"),
    path("quick/", views.quick, name="quick"),
    path("asynchronous/<int:pk>/", views.Asynchronous.as_view(), name="asynchronous"),
    path("stream/", views.stream, name="stream"),
    path("endless/", views.endless, name="endless"),
    path("events/", views.events, name="events"),
    path("download/", views.download, name="download"),
    path("chatty/", views.chatty, name="chatty"),
    path("many/", views.many_queries, name="many"),
    path("excluded/", views.missing, name="excluded"),
    path("secret/<int:pk>/", views.missing, name="secret"),
    path("away/", views.missing, name="shadowed"),
]
