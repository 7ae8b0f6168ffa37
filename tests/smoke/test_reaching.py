"""Tests of the ways to a view that takes more than a row of its model."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import login_not_required
from django.db.models.signals import post_save
from django.http import Http404, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path, register_converter
from django.views import View
from rest_framework.authentication import BaseAuthentication, TokenAuthentication
from rest_framework.exceptions import NotAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from tests.smoke import inside
from yourlabs.smoke.outcomes import Outcome

pytestmark = pytest.mark.usefixtures("rows")


def sure(request: Any) -> HttpResponse:
    """Ask for the password once more."""
    if request.user.check_password(request.POST.get("password", "")):
        request.session["is_sure"] = True
        return HttpResponseRedirect(request.GET["next"])
    return HttpResponse('<form method="post"><input type="password" name="password">')


def vault(request: Any) -> HttpResponse:
    """Open to superusers who confirmed who they are."""
    if not request.user.is_superuser:
        return HttpResponse(status=403)
    if not request.session.get("is_sure"):
        return HttpResponseRedirect(f"/sure/?next={request.path}")
    return HttpResponse("gold")


def test_page_that_asks_for_the_password_again_is_passed() -> None:
    """A redirect to a page that leads back is followed, and its form is sent.

    Nobody hears of the password that makes it work.
    """
    heard: list[Any] = []

    def hear(update_fields: Any, **kwargs: Any) -> None:
        heard.extend(update_fields or ())

    post_save.connect(hear, sender=get_user_model())
    found = inside.judge(
        [path("sure/", sure, name="sure"), path("vault/", vault, name="vault")]
    )

    assert "password" not in heard
    assert (Outcome.OK, 200) == (found["vault"].outcome, found["vault"].status)


def test_page_that_never_lets_in_is_forbidden() -> None:
    """A page that asks again and again makes no end of requests."""

    def never(request: Any) -> HttpResponse:
        return HttpResponseRedirect(f"/never/?next={request.path}")

    found = inside.judge(
        [path("never/", never, name="never"), path("gate/", never, name="gate")]
    )

    assert "forbidden for all roles" == found["gate"].reason


@login_not_required
def exporters(request: Any) -> HttpResponse:
    """A list of things that no table holds."""
    return JsonResponse({"count": 1, "results": [{"identifier": "pdf", "n": 1}]})


@login_not_required
def exporter(request: Any, pk: str) -> HttpResponse:
    """One of them."""
    if pk != "pdf":
        raise Http404
    return HttpResponse("pdf")


def test_lists_of_an_api_tell_the_values_below_them() -> None:
    """What a JSON list says of its objects is tried for the patterns below it."""
    found = inside.judge(
        [
            path("exporters/", exporters, name="list"),
            path("exporters/<pk>/", exporter, name="detail"),
            path("exporters/<pk>/again/", exporter, name="again"),
        ]
    )

    assert "/exporters/pdf/" == found["detail"].url
    assert "/exporters/pdf/again/" == found["again"].url


class DeviceAuthentication(BaseAuthentication):
    """Knows devices, which these tests have none of."""

    def authenticate(self, request: Any) -> None:
        """Nobody."""
        raise NotAuthenticated


class DeviceView(APIView):
    """Relies on what its authentication leaves on the request."""

    authentication_classes = (DeviceAuthentication,)

    def get(self, request: Any) -> Response:
        """Answer with the device's key."""
        return Response(request.auth.key)


def test_authentication_that_was_left_out_is_no_failure() -> None:
    """A view is not to blame for what the site's authentication would have set."""
    found = inside.judge([path("device/", login_not_required(DeviceView.as_view()))])

    assert "forbidden for all roles" == found[""].reason


def test_missing_template_is_a_failure_also_with_a_made_row() -> None:
    """No row can be blamed for a template that does not exist."""
    from tests.smoke.project.shop.models import Coupon

    def coupon(request: Any, slug: str) -> HttpResponse:
        get_object_or_404(Coupon, code=slug)
        return render(request, "nowhere.html")

    found = inside.judge([path("coupon/<slug:slug>/", coupon, name="coupon")])

    assert Outcome.FAILED is found["coupon"].outcome


def test_refused_guesses_do_not_keep_a_row_from_being_made() -> None:
    """A row is made for an empty table, however often other values were refused."""
    from tests.smoke.project.shop.models import Coupon

    def guarded(request: Any, slug: str) -> HttpResponse:
        is_there = Coupon.objects.filter(code=slug).exists()
        return HttpResponse(status=200 if is_there else 403)

    found = inside.judge([path("articles/<slug:slug>/", guarded, name="coupon")])

    assert (Outcome.OK, "made row") == (
        found["coupon"].outcome,
        found["coupon"].provenance,
    )


def shelf(request: Any, shelf: str) -> HttpResponse:
    """A shelf that only its parameter names."""
    if shelf != "hats":
        raise Http404
    return HttpResponse("shelf")


def fallen(request: Any, shelf: str) -> HttpResponse:
    """Fail on the same shelf."""
    raise AttributeError(shelf if shelf == "hats" else "none")


def test_failure_with_values_that_work_elsewhere_is_the_views_own() -> None:
    """A value is no guess any more once another pattern answered well with it."""
    found = inside.judge(
        [
            path("category/<slug:shelf>/", shelf, name="shelf"),
            path("category/<slug:shelf>/fallen/", fallen, name="fallen"),
        ]
    )

    assert Outcome.OK is found["shelf"].outcome
    assert (Outcome.FAILED, "proven") == (
        found["fallen"].outcome,
        found["fallen"].provenance,
    )


def test_relations_of_other_rows_name_the_model() -> None:
    """What a view asks of a row's relation is a row of the model behind it."""

    from tests.smoke.project.shop.models import Category

    def article(request: Any, shelf: str, ref: str) -> HttpResponse:
        one = get_object_or_404(Category, slug=shelf)
        return HttpResponse(str(one.articles.get(title=ref)))

    found = inside.judge([path("of/<slug:shelf>/<str:ref>/", article, name="article")])

    assert "/of/shoes/One of Shoes/" == found["article"].url


def test_row_is_made_below_the_row_that_the_url_names() -> None:
    """A relation that may be empty is not, where the URL has a place called like it."""
    from tests.smoke.project.ways.models import Note

    def note(request: Any, category: str, pk: int) -> HttpResponse:
        get_object_or_404(Note, category__slug=category, pk=pk)
        return HttpResponse("note")

    found = inside.judge([path("notes/<slug:category>/<int:pk>/", note, name="note")])

    assert Outcome.OK is found["note"].outcome


def test_made_row_of_nobody_is_not_asked_for_as_nobody() -> None:
    """Where a made row says nothing of an owner, its owner is not asked for it."""
    from tests.smoke.project.shop.models import Coupon

    asked: list[bool] = []

    def coupon(request: Any, code: str) -> HttpResponse:
        asked.append(request.user.is_anonymous)
        get_object_or_404(Coupon, code=code)
        raise Http404

    inside.judge([path("coupons/<slug:code>/", coupon, name="coupon")])

    assert asked
    assert not any(asked)


def test_confirmation_that_helped_is_given_where_nothing_asks_for_it() -> None:
    """A page that forbids without asking is tried after what let in elsewhere."""

    def cellar(request: Any) -> HttpResponse:
        return HttpResponse(status=200 if request.session.get("is_sure") else 403)

    found = inside.judge(
        [
            path("sure/", sure, name="sure"),
            path("vault/", vault, name="vault"),
            path("cellar/", cellar, name="cellar"),
        ]
    )

    assert Outcome.OK is found["cellar"].outcome


class TokenView(APIView):
    """Hides what it has from everybody who brings no token."""

    authentication_classes = (TokenAuthentication,)
    permission_classes = ()

    def get(self, request: Any, slug: str) -> Response:
        """Answer superusers."""
        if slug != "hats" or not getattr(request.user, "is_superuser", False):
            raise Http404
        return Response({"shelf": slug})


def test_api_that_takes_no_session_is_asked_as_its_test_client_does() -> None:
    """A 404 of such an API may only mean that nobody was logged in."""
    view = login_not_required(TokenView.as_view())
    found = inside.judge([path("category/<slug:slug>/", view, name="category")])

    assert (Outcome.OK, "/category/hats/") == (
        found["category"].outcome,
        found["category"].url,
    )


def plain(request: Any, **kwargs: Any) -> HttpResponse:
    """Answer with the path that was asked for."""
    return HttpResponse(request.path)


def test_paths_beyond_ascii_are_asked_for() -> None:
    """The path of a request is encoded once."""
    found = inside.judge(
        [path("café/", plain, name="latin"), path("статья/", plain, name="cyrillic")]
    )

    assert found["latin"].outcome is Outcome.OK
    assert found["cyrillic"].outcome is Outcome.OK


class Searching(View):
    """Reads the query string in methods that have no instance."""

    @staticmethod
    def text(request: Any) -> str:
        """What is looked for."""
        return str(request.GET["q"])

    @classmethod
    def page(cls, request: Any) -> str:
        """Which page is wanted."""
        return str(request.GET["page"])

    def get(self, request: Any) -> HttpResponse:
        """404 without both."""
        try:
            return HttpResponse(self.text(request) + self.page(request))
        except KeyError:
            raise Http404 from None


def test_query_string_that_a_static_method_reads() -> None:
    """A view that is not found without a query string needs one."""
    found = inside.judge([path("search/", Searching.as_view(), name="search")])

    assert found["search"].outcome is Outcome.SKIPPED
    assert "query string" in found["search"].reason


class Hexadecimal:
    """Numbers as they stand in a URL of a project."""

    regex = "[0-9a-f]+"

    def to_python(self, value: str) -> str:
        """Decode."""
        return bytes.fromhex(value).decode()

    def to_url(self, value: str) -> str:
        """Encode."""
        return value.encode().hex()


def test_value_that_the_project_gives_is_the_text_of_the_url(settings: Any) -> None:
    """``SMOKE["values"]`` is not converted once more."""

    def view(request: Any, ref: str) -> HttpResponse:
        if ref != "hello":
            raise Http404
        return HttpResponse("here")

    register_converter(Hexadecimal, "hexadecimal")
    settings.SMOKE = {"values": {"ref": f"{__name__}.reference"}}
    found = inside.judge([path("ref/<hexadecimal:ref>/", view, name="ref")])

    assert found["ref"].outcome is Outcome.OK


def reference() -> str:
    """A value of the project."""
    return b"hello".hex()


def test_pattern_that_is_listed_twice_is_one_result() -> None:
    """The same object twice does not hide itself."""
    twice = path("twice/", plain, name="twice")

    found = [one for one in inside.results_of([twice, twice]) if one.name == "twice"]

    assert [one.outcome for one in found] == [Outcome.OK]


def test_odd_contexts_are_no_failures() -> None:
    """What a response of the project holds breaks no reading of it."""

    def view(request: Any) -> HttpResponse:
        response = HttpResponse("odd")
        response.context_data = ["no", "dict"]  # type: ignore[attr-defined]
        return response

    assert inside.judge([path("odd/", view, name="odd")])["odd"].outcome is Outcome.OK


def test_number_of_a_page_is_no_guess() -> None:
    """A list that raises has failed: it has a first page."""

    def view(request: Any, page: int) -> HttpResponse:
        return HttpResponse({}["nothing"])

    found = inside.judge([path("list/<int:page>/", view, name="list")])

    assert found["list"].outcome is Outcome.FAILED
