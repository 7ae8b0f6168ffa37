"""Views whose parameters only their classes or sources explain."""

from __future__ import annotations

import datetime
from functools import cached_property, partial
from typing import Any

from django import forms
from django.http import Http404, HttpResponse
from django.shortcuts import aget_object_or_404, get_list_or_404, get_object_or_404
from django.views import View, generic

from tests.smoke.project.shop import models
from tests.smoke.project.shop.models import Purchase


def function(request: Any, ref: str) -> HttpResponse:
    """Ask for a row by a parameter."""
    get_object_or_404(models.Article, slug=ref)
    return HttpResponse()


def several(request: Any, ref: str) -> HttpResponse:
    """Ask for rows of a manager, through a relation."""
    get_list_or_404(models.Article.objects.order_by("pk"), category__slug=ref)
    return HttpResponse()


async def asynchronous(request: Any, ref: str) -> HttpResponse:
    """Ask for a row without blocking."""
    await aget_object_or_404(Purchase, code=ref)
    return HttpResponse()


def converted(request: Any, ref: str) -> HttpResponse:
    """Convert the parameter first."""
    if not Purchase.objects.filter(code=str(ref)).exists():
        raise Http404
    return HttpResponse()


def keywords(request: Any, **kwargs: Any) -> HttpResponse:
    """Take whatever there is."""
    get_object_or_404(Purchase, code=kwargs.get("ref"))
    return HttpResponse()


def of_model(model: Any) -> Any:
    """Make a view of a model."""

    def view(request: Any, ref: str) -> HttpResponse:
        get_object_or_404(model, code=ref)
        return HttpResponse()

    return view


def with_greeting(request: Any, ref: str, greeting: str) -> HttpResponse:
    """Have an option that is set beforehand."""
    get_object_or_404(models.Category, slug=ref)
    return HttpResponse(greeting)


greeted = partial(partial(with_greeting), greeting="hello")


class Callable:
    """A view that is an object."""

    def __call__(self, request: Any, ref: str) -> HttpResponse:
        """Ask for a row."""
        get_object_or_404(models.Category, slug=ref)
        return HttpResponse()

    def method(self, request: Any, ref: str) -> HttpResponse:
        """Ask for a row as well."""
        get_object_or_404(models.Category, slug=ref)
        return HttpResponse()


class Variables(View):
    """Gives names to what it asks for."""

    def get(self, request: Any, **kwargs: Any) -> HttpResponse:
        """Ask for a row."""
        code = self.kwargs["ref"]
        bought = Purchase.objects.order_by("pk")
        bought = bought.filter(article__isnull=False)
        get_object_or_404(bought, code=code)
        return HttpResponse()


class OwnGet(View):
    """Reads its parameter where Django keeps it."""

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        """Ask for a row."""
        Purchase.objects.get(code=self.kwargs["ref"])
        return HttpResponse()


class OwnProperty(View):
    """Asks for its row in a property."""

    @cached_property
    def purchase(self) -> Purchase:
        """The row."""
        return get_object_or_404(Purchase, code=self.kwargs["ref"])

    def get(self, request: Any, ref: str) -> HttpResponse:
        """Answer for the row."""
        return HttpResponse(str(self.purchase))


class OwnQueryset(generic.DetailView):
    """Says its model only in a method."""

    slug_field = "code"
    slug_url_kwarg = "ref"
    template_name = "page.html"

    def get_queryset(self) -> Any:
        """All of them."""
        return Purchase.objects.all()


class PurchaseForm(forms.ModelForm):
    """A form of a model."""

    class Meta:
        model = Purchase
        fields = ("code",)


class OwnForm(generic.UpdateView):
    """Says its model only by its form."""

    form_class = PurchaseForm
    pk_url_kwarg = "ref"
    template_name = "page.html"

    def get_object(self, queryset: Any = None) -> Purchase:
        """The row."""
        return PurchaseForm.Meta.model.objects.get(pk=self.kwargs[self.pk_url_kwarg])


class _Raises:
    def __get__(self, instance: Any, owner: Any) -> Any:
        raise RuntimeError("Ask an instance.")


class Descriptor(View):
    """Has an attribute that cannot be read from the class."""

    model = _Raises()

    def get(self, request: Any, ref: str) -> HttpResponse:
        """Ask for a row."""
        get_object_or_404(models.Category, slug=ref)
        return HttpResponse()


class Week(generic.WeekArchiveView):
    """The articles of one week."""

    model = models.Article
    date_field = "on"
    template_name = "page.html"


class Numbered(generic.dates.YearMixin, generic.dates.MonthMixin, View):
    """Inherits that months are words, and reads them as numbers."""

    model = models.Category

    def get(self, request: Any, **kwargs: Any) -> HttpResponse:
        """Answer for a month of a shelf."""
        get_object_or_404(models.Category, slug=kwargs["slug"])
        return HttpResponse(datetime.date(int(kwargs["year"]), int(kwargs["month"]), 1))


def of_day(request: Any, slug: str, year: str, month: str, day: str) -> HttpResponse:
    """An article of a day, of a view that does not say which date it means."""
    article = get_object_or_404(models.Article, slug=slug)
    if article.on.strftime("%Y %b %d").lower() != f"{year} {month} {day}":
        raise Http404
    return HttpResponse()


def of_year(request: Any, slug: str, year: int) -> HttpResponse:
    """A shelf, which has no date, of a year."""
    get_object_or_404(models.Category, slug=slug)
    return HttpResponse()


def anything(request: Any, **kwargs: Any) -> HttpResponse:
    """Answer whatever is asked."""
    return HttpResponse()


def of_model_named(
    request: Any, app_label: str, model_name: str, pk: int
) -> HttpResponse:
    """A row of one of all models."""
    if (app_label, model_name, pk) != ("shop", "shy", 1):
        raise Http404
    return HttpResponse()


def nothing(request: Any) -> HttpResponse:
    """What is shown where nothing is."""
    raise Http404


def of_app(request: Any, app_label: str) -> HttpResponse:
    """An app, by its label."""
    from django.apps import apps

    try:
        return HttpResponse(apps.get_app_config(app_label).verbose_name)
    except LookupError as error:
        raise Http404 from error


def of_label(request: Any, app_label: str, model: str) -> HttpResponse:
    """A model, by its names."""
    from django.apps import apps

    try:
        apps.get_model(app_label, model)
    except LookupError as error:
        raise Http404 from error
    return HttpResponse()


def late() -> Any:
    """Make a view that refers to a variable without a value."""

    def view(request: Any, ref: str) -> HttpResponse:
        get_object_or_404(models.Category, slug=ref)
        return HttpResponse() if ref else unset

    if not models:
        unset = HttpResponse()
    return view


def hiding(view: Any) -> Any:
    """A decorator that hides a class."""

    def inner(*args: Any, **kwargs: Any) -> HttpResponse:
        return view.as_view()(*args, **kwargs)

    return inner


def magic(request: Any, magic: str, article_slug: str) -> HttpResponse:
    """An article, below a word that only the setting knows."""
    get_object_or_404(models.Article, slug=article_slug)
    if magic != "abracadabra":
        raise Http404
    return HttpResponse()


# Views without a source, as a shell or a template makes them.
exec(
    "def sourceless(request, article_slug):\n"
    "    get_object_or_404(models.Article, slug=article_slug)\n"
    "    return HttpResponse()\n"
)
