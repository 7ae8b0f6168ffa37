"""Views with one defect each."""

from __future__ import annotations

import os
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.contrib.syndication.views import Feed
from django.db import connection
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.template import Context, Template
from django.views import generic
from rest_framework import permissions, serializers, viewsets
from rest_framework.pagination import PageNumberPagination
from rest_framework.response import Response
from rest_framework.views import APIView

from tests.smoke.project.defects.models import Device


def template(source: str) -> Any:
    """A view that renders a template."""

    def view(request: Any) -> HttpResponse:
        context = Context({"device": Device.objects.first(), "request": request})
        return HttpResponse(Template(source).render(context))

    return view


def zero(request: Any) -> HttpResponse:
    """Divide by zero, until it is repaired."""
    if os.environ.get("SMOKE_HEALED"):
        return HttpResponse("repaired")
    return HttpResponse(1 / 0)


def undefined(request: Any) -> HttpResponse:
    """Use a name that is not there."""
    return HttpResponse(not_there)  # noqa: F821


def imports(request: Any) -> HttpResponse:
    """Import what is not there."""
    import not_there_either  # noqa: F401

    return HttpResponse()


def nothing(request: Any) -> None:
    """Forget to answer."""


def no_template(request: Any) -> HttpResponse:
    """Render a template that is not there."""
    return render(request, "not/there.html")


def bad_redirect(request: Any) -> HttpResponse:
    """Redirect to a name that is not there."""
    return redirect("not-there")


def bad_field(request: Any) -> HttpResponse:
    """Filter by a field that is not there."""
    return HttpResponse(Device.objects.filter(nothing=1).count())


def bad_sql(request: Any) -> HttpResponse:
    """Ask a table that is not there."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM nowhere")
    return HttpResponse()


def teapot(request: Any) -> HttpResponse:
    """Answer 503."""
    return HttpResponse(status=503)


def exits(request: Any) -> HttpResponse:
    """End the process."""
    raise SystemExit(3)


def recursion(request: Any) -> HttpResponse:
    """Never end."""
    return recursion(request)


def signature(request: Any, other: int) -> HttpResponse:
    """Take another parameter than the pattern gives."""
    return HttpResponse(other)


def stream(request: Any) -> StreamingHttpResponse:
    """Fail while streaming."""

    def numbers() -> Any:
        yield "1"
        raise RuntimeError("stream")

    return StreamingHttpResponse(numbers())


async def asynchronous(request: Any) -> HttpResponse:
    """Fail asynchronously."""
    raise RuntimeError("async")


async def synchronous_query(request: Any) -> HttpResponse:
    """Ask the database from an asynchronous view."""
    return HttpResponse(Device.objects.count())


@login_not_required
def anonymous(request: Any) -> HttpResponse:
    """Forget that nobody may be logged in."""
    return HttpResponse(request.user.email)


def profile(request: Any) -> HttpResponse:
    """Forget that not everybody has a profile."""
    return HttpResponse(request.user.profile.pk)


def chief_only_crash(request: Any) -> HttpResponse:
    """Fail for superusers alone."""
    if request.user.is_superuser:
        raise RuntimeError("chief")
    return HttpResponse()


def french(request: Any) -> HttpResponse:
    """Fail in one language."""
    if request.LANGUAGE_CODE == "fr":
        raise RuntimeError("français")
    return HttpResponse("fine")


class PictureView(generic.DetailView):
    """Forget that a row may have no picture."""

    model = Device

    def render_to_response(self, context: Any, **kwargs: Any) -> HttpResponse:
        """Answer with the size."""
        return HttpResponse(self.object.picture.size)


class NoQueryset(generic.ListView):
    """Forget the model."""

    template_name = "page.html"


class BadFields(generic.UpdateView):
    """A form with a field that is not there."""

    model = Device
    fields = ("nothing",)
    template_name = "page.html"


class BadFeed(Feed):
    """A feed without links."""

    title = "feed"
    link = "/"

    def items(self) -> Any:
        """All devices."""
        return Device.objects.all()


class BadSerializer(serializers.ModelSerializer):
    """A serializer with a field that is not there."""

    class Meta:
        model = Device
        fields = ("id", "nothing")


class DeviceSerializer(serializers.ModelSerializer):
    """A healthy serializer."""

    class Meta:
        model = Device
        fields = ("id", "name")


class BadSource(serializers.ModelSerializer):
    """A serializer whose method raises."""

    size = serializers.SerializerMethodField()

    class Meta:
        model = Device
        fields = ("size",)

    def get_size(self, device: Any) -> int:
        """Fail."""
        return device.picture.size


class BadObjectPermission(permissions.BasePermission):
    """A permission that raises for one object."""

    def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
        """Fail."""
        return obj.owner == request.user


class BadPermission(permissions.BasePermission):
    """A permission that forgets anonymous people."""

    def has_permission(self, request: Any, view: Any) -> bool:
        """Fail for anonymous people."""
        return request.user.email.endswith("example.com")


class Devices(viewsets.ReadOnlyModelViewSet):
    """A healthy viewset."""

    queryset = Device.objects.order_by("pk")
    serializer_class = DeviceSerializer
    permission_classes = (permissions.AllowAny,)


class SerializerDevices(Devices):
    """A viewset with a broken serializer."""

    serializer_class = BadSerializer


class SourceDevices(Devices):
    """A viewset with a serializer that raises."""

    serializer_class = BadSource


class PermissionDevices(Devices):
    """A viewset whose permission raises for each object."""

    permission_classes = (BadObjectPermission,)


class PagedDevices(Devices):
    """A viewset with broken pages."""

    class Pages(PageNumberPagination):
        """Pages that raise."""

        page_size = 1

        def get_paginated_response(self, data: Any) -> Response:
            """Fail."""
            return Response({"next": self.nothing})

    pagination_class = Pages


class PermissionView(APIView):
    """A view whose permission raises."""

    permission_classes = (BadPermission,)

    def get(self, request: Any) -> Response:
        """Answer."""
        return Response({})
