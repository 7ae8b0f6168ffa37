"""The defects, each with what is wrong as its name; ``fine`` ones are healthy."""

from __future__ import annotations

from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.http import HttpResponse
from django.urls import include, path
from rest_framework import routers

from tests.smoke.project.defects import views

router = routers.SimpleRouter()
router.register("devices", views.Devices, basename="fine-devices")
router.register("serializer", views.SerializerDevices, basename="serializer")
router.register("source", views.SourceDevices, basename="source")
router.register("permission", views.PermissionDevices, basename="permission")
router.register("paged", views.PagedDevices, basename="paged")


def fine(request: object) -> HttpResponse:
    """Answer."""
    return HttpResponse("fine")


urlpatterns = [
    path("admin/", admin.site.urls),
    path("login/", login_not_required(fine), name="login"),
    path("home/", fine, name="home"),
    path("zero/", views.zero, name="zero"),
    path("undefined/", views.undefined, name="undefined"),
    path("imports/", views.imports, name="imports"),
    path("nothing/", views.nothing, name="nothing"),
    path("no-template/", views.no_template, name="no-template"),
    path("bad-redirect/", views.bad_redirect, name="bad-redirect"),
    path("bad-field/", views.bad_field, name="bad-field"),
    path("bad-sql/", views.bad_sql, name="bad-sql"),
    path("unavailable/", views.teapot, name="unavailable"),
    path("exits/", views.exits, name="exits"),
    path("recursion/", views.recursion, name="recursion"),
    path("signature/<int:pk>/", views.signature, name="signature"),
    path("stream/", views.stream, name="stream"),
    path("asynchronous/", views.asynchronous, name="asynchronous"),
    path("sync-query/", views.synchronous_query, name="sync-query"),
    path("anonymous/", views.anonymous, name="anonymous"),
    path("profile/", views.profile, name="profile"),
    path("chief/", views.chief_only_crash, name="chief"),
    path("pictures/<int:pk>/", views.PictureView.as_view(), name="picture"),
    path("no-queryset/", views.NoQueryset.as_view(), name="no-queryset"),
    path("bad-fields/<int:pk>/", views.BadFields.as_view(), name="bad-fields"),
    path("feed/", views.BadFeed(), name="feed"),
    path("permission-view/", views.PermissionView.as_view(), name="permission-view"),
    path("tag/", views.template("{% nothing %}"), name="template-tag"),
    path("filter/", views.template("{{ device|nothing }}"), name="template-filter"),
    path("url/", views.template("{% url 'not-there' %}"), name="template-url"),
    path("include/", views.template("{% include 'no' %}"), name="template-include"),
    path("size/", views.template("{{ device.picture.size }}"), name="template-file"),
    path("api/", include(router.urls)),
    path("fine/", fine, name="fine"),
    path("fine/template/", views.template("{{ device.name }}"), name="fine-template"),
]
urlpatterns += i18n_patterns(path("french/", views.french, name="french"))
