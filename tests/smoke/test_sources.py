"""Tests of what is read of the source of views."""

from __future__ import annotations

from typing import Any

from django.utils.functional import cached_property
from django.views import View

from yourlabs.smoke.sources import methods_of


class Context:
    """A decorator that holds another one, as some template helpers do."""

    def __init__(self, func: Any) -> None:
        self.func = func


def test_functions_below_several_decorators_are_read() -> None:
    """Properties inside of other descriptors tell what a view selects."""

    class Nested(View):
        @Context
        @cached_property
        def thing(self) -> Any:
            """The thing."""

    found = [function.__name__ for function in methods_of(Nested, ("thing",))]

    assert ["thing"] == found
