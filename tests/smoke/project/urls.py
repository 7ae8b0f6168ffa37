"""All URL patterns of the project."""

from __future__ import annotations

from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.contrib.sitemaps import GenericSitemap
from django.contrib.sitemaps.views import sitemap
from django.urls import include, path
from django.views.i18n import JavaScriptCatalog

from tests.smoke.project.shop import views
from tests.smoke.project.shop.api import TokenView, router
from tests.smoke.project.shop.models import Article

sitemaps = {"articles": GenericSitemap({"queryset": Article.objects.order_by("pk")})}

urlpatterns = [
    path("", views.home, name="home"),
    path("admin/", admin.site.urls),
    path("accounts/", include("django.contrib.auth.urls")),
    path("jsi18n/", login_not_required(JavaScriptCatalog.as_view()), name="jsi18n"),
    path(
        "sitemap-<section>.xml",
        login_not_required(sitemap),
        {"sitemaps": sitemaps},
        name="section",
    ),
    path("api/", include(router.urls)),
    path("api/token/", TokenView.as_view(), name="token"),
    path("i18n/", include("django.conf.urls.i18n")),
    path("", include("tests.smoke.project.shop.urls")),
]
urlpatterns += i18n_patterns(
    path("hello/", views.plain, name="hello"),
    path("hello/<int:pk>/", views.hidden, name="hello_one"),
)
