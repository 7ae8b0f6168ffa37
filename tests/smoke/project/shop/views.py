"""Healthy views, and views that cannot be judged."""

from __future__ import annotations

import asyncio
from functools import partial, wraps
from typing import Any

from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth.decorators import (
    login_not_required,
    login_required,
    permission_required,
    user_passes_test,
)
from django.core.exceptions import PermissionDenied
from django.http import (
    FileResponse,
    Http404,
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.decorators import method_decorator
from django.views import View, generic

from tests.smoke.project.shop import models

open_to_all = method_decorator(login_not_required, name="dispatch")


@login_not_required
def home(request: Any) -> HttpResponse:
    """The first page, with links that nothing else leads to."""
    return render(request, "home.html", {"articles": models.Article.objects.all()})


def plain(request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
    """Answer whatever is asked."""
    return HttpResponse(f"fine {args} {sorted(kwargs.items())}")


class Callable:
    """A view that is an object."""

    def __call__(self, request: Any) -> HttpResponse:
        """Answer."""
        return HttpResponse("object")


def with_option(request: Any, option: str) -> HttpResponse:
    """Answer with an option that the URL pattern gives."""
    return HttpResponse(option)


partial_view = partial(with_option, option="partial")


def opaque(function: Any) -> Any:
    """A decorator that hides what it decorates."""

    def inner(request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        return function(request, *args, **kwargs)

    return inner


@opaque
def hidden(request: Any, pk: int) -> HttpResponse:
    """Answer for an article, behind a decorator without ``wraps``."""
    get_object_or_404(models.Article, pk=pk)
    return HttpResponse("hidden")


def polite(function: Any) -> Any:
    """A decorator that says what it decorates."""

    @wraps(function)
    def inner(request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        return function(request, *args, **kwargs)

    return inner


@polite
def by_source(request: Any, ref: str) -> HttpResponse:
    """Answer for a purchase, by a parameter that only the source explains."""
    models.Purchase.objects.get(code=ref)
    return HttpResponse("purchase")


@open_to_all
class CategoryDetail(generic.DetailView):
    """One shelf."""

    model = models.Category
    template_name = "page.html"


@open_to_all
class ArticleDetail(generic.DetailView):
    """One article of a shelf; the two have to fit."""

    model = models.Article
    template_name = "page.html"

    def get_queryset(self) -> Any:
        """Only public articles of the shelf."""
        slug = self.kwargs["category"]
        return models.Article.objects.filter(category__slug=slug, is_public=True)


class ArticleList(generic.ListView):
    """All articles, in pages."""

    model = models.Article
    template_name = "page.html"
    paginate_by = 1


class ArticleCreate(generic.CreateView):
    """A form."""

    model = models.Article
    fields = ("title", "category")
    template_name = "page.html"


class ArticleUpdate(generic.UpdateView):
    """A form for one article, by a name of its own."""

    model = models.Article
    fields = ("title",)
    pk_url_kwarg = "article_pk"
    template_name = "page.html"


class ArticleDay(generic.DateDetailView):
    """One article of one day."""

    model = models.Article
    date_field = "on"
    template_name = "page.html"


class ArticleMonth(generic.MonthArchiveView):
    """The articles of one month."""

    model = models.Article
    date_field = "on"
    month_format = "%m"
    template_name = "page.html"


class PurchaseDetail(generic.DetailView):
    """One's own purchase."""

    model = models.Purchase
    slug_field = "code"
    template_name = "page.html"

    def get_queryset(self) -> Any:
        """Only those of who asks."""
        return super().get_queryset().filter(owner=self.request.user)


class CouponDetail(generic.DetailView):
    """A row of an empty table."""

    queryset = models.Coupon.objects.filter(is_active=True)
    slug_field = "code"
    template_name = "page.html"


class LockedDetail(generic.DetailView):
    """A row that cannot be made."""

    model = models.Locked
    template_name = "page.html"


class GhostDetail(generic.DetailView):
    """A row of a table that is not there: its failure is no surprise."""

    model = models.Ghost
    template_name = "page.html"


def shy(request: Any, shy_id: int) -> HttpResponse:
    """A row of a model without ``objects``."""
    get_object_or_404(models.Shy.things, pk=shy_id)
    return HttpResponse("shy")


@login_required
def members(request: Any) -> HttpResponse:
    """For people who logged in."""
    return HttpResponse(str(request.user))


@staff_member_required
def staff(request: Any) -> HttpResponse:
    """For staff."""
    return HttpResponse("staff")


@user_passes_test(lambda user: user.is_superuser, login_url="/")
def chiefs(request: Any) -> HttpResponse:
    """For superusers; others are sent to the first page."""
    return HttpResponse("chiefs")


@permission_required("shop.delete_article", raise_exception=True)
def allowed(request: Any) -> HttpResponse:
    """For those with a permission."""
    return HttpResponse("allowed")


def nobody(request: Any) -> HttpResponse:
    """For nobody."""
    raise PermissionDenied


def post_only(request: Any) -> HttpResponse:
    """Refuses to be read."""
    return HttpResponseNotAllowed(["POST"])


def script_only(request: Any) -> HttpResponse:
    """For scripts of the page."""
    if request.headers.get("X-Requested-With") != "XMLHttpRequest":
        return HttpResponseBadRequest()
    return JsonResponse({})


def needs_query(request: Any) -> HttpResponse:
    """Cannot answer without a query string."""
    if "term" not in request.GET:
        return HttpResponseBadRequest("term is missing")
    return HttpResponse(request.GET["term"])


def needs_key(request: Any) -> HttpResponse:
    """Reads a query string that is not there."""
    return HttpResponse(request.GET["key"])


@login_not_required
def search(request: Any) -> HttpResponse:
    """Linked with a query string."""
    if request.GET.get("q") == "crash":
        raise RuntimeError("The search crashed.")
    return HttpResponse("found")


@login_not_required
def linked(request: Any, token: str) -> HttpResponse:
    """Only the links of the first page know the token."""
    if token != "k3y":
        raise Http404
    return HttpResponse("linked")


def linked_again(request: Any, token: str) -> HttpResponse:
    """Takes the same token as its neighbour."""
    if token != "k3y":
        raise Http404
    return HttpResponse("again")


def unknown(request: Any, riddle: str) -> HttpResponse:
    """Nobody knows the answer."""
    raise Http404


def magic(request: Any, magic: str) -> HttpResponse:
    """Takes the value that the setting gives."""
    if magic != "abracadabra":
        raise Http404
    return HttpResponse("magic")


def gone(request: Any) -> HttpResponse:
    """Is expected to be gone."""
    return HttpResponse(status=410)


def teapot(request: Any) -> HttpResponse:
    """Is expected to be a teapot."""
    return HttpResponse(status=418)


def missing(request: Any) -> HttpResponse:
    """Is not there for anybody, without a reason."""
    raise Http404


def away(request: Any) -> HttpResponse:
    """Redirects."""
    return redirect("home")


def elsewhere(request: Any) -> HttpResponse:
    """Redirects to another host."""
    return HttpResponseRedirect("https://example.org/")


async def quick(request: Any) -> HttpResponse:
    """An asynchronous view that asks the database."""
    await asyncio.sleep(0)
    return HttpResponse(str(await models.Article.objects.acount()))


class Asynchronous(View):
    """An asynchronous class-based view."""

    async def get(self, request: Any, pk: int) -> HttpResponse:
        """Answer for an article."""
        try:
            article = await models.Article.objects.aget(pk=pk)
        except models.Article.DoesNotExist as error:
            raise Http404 from error
        return HttpResponse(str(article))


def stream(request: Any) -> StreamingHttpResponse:
    """A stream that ends."""
    return StreamingHttpResponse(str(number) for number in range(100))


def endless(request: Any) -> StreamingHttpResponse:
    """A stream that never ends."""

    def numbers() -> Any:
        number = 0
        while True:
            yield f"{number}\n"
            number += 1

    return StreamingHttpResponse(numbers())


async def events(request: Any) -> StreamingHttpResponse:
    """A stream of an asynchronous view."""

    async def numbers() -> Any:
        for number in range(10):
            yield f"data: {number}\n\n"

    return StreamingHttpResponse(numbers(), content_type="text/event-stream")


def download(request: Any) -> FileResponse:
    """A file."""
    return FileResponse(open(__file__, "rb"))


def chatty(request: Any) -> HttpResponse:
    """Prints."""
    print("this must not be in the report")
    return HttpResponse("said")


def many_queries(request: Any) -> HttpResponse:
    """Asks the same again and again, and forgets a variable."""
    names = [str(article.category) for article in models.Article.objects.all()]
    for _ in range(10):
        list(models.Category.objects.filter(name="x"))
    return render(request, "page.html", {"names": names, "shows_missing": True})
