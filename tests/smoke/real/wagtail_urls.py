"""URL patterns of the site."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from wagtail import urls as w
from wagtail.admin import urls as a
from wagtail.api.v2.router import WagtailAPIRouter
from wagtail.api.v2.views import PagesAPIViewSet
from wagtail.documents import urls as d

api = WagtailAPIRouter("wagtailapi")
api.register_endpoint("pages", PagesAPIViewSet)
urlpatterns = [
    path("django-admin/", admin.site.urls),
    path("admin/", include(a)),
    path("documents/", include(d)),
    path("api/v2/", api.urls),
    path("", include(w)),
]
