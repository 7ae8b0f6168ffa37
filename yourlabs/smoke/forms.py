"""Fill in the form of a page on which people say who they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

_UNSENT = ("checkbox", "radio", "file", "button", "image", "submit", "reset")
"""The kinds of fields that are not sent unless somebody chooses them."""


@dataclass
class Form:
    """A form of a page."""

    action: str = ""
    """Where it is sent; empty for the page that it is on."""

    fields: list[tuple[str, str, str]] = field(default_factory=list)
    """The kind, name and value of each field that is sent, in order."""

    @property
    def passwords(self) -> int:
        """How many passwords it asks for: one to log in, two to choose a new one."""
        return sum(kind == "password" for kind, _, _ in self.fields)

    def filled_in(self, username: str, password: str) -> dict[str, str]:
        """What is sent when somebody logs in."""
        data: dict[str, str] = {}
        for kind, name, value in self.fields:
            if kind == "password":
                data[name] = password
            elif kind in ("text", "email") and username not in data.values():
                data[name] = username
            else:
                data[name] = value
        data.setdefault("username", username)
        data.setdefault("password", password)
        return data


class _Forms(HTMLParser):
    """Collects the forms of a page, and the fields outside of all forms as one more."""

    def __init__(self) -> None:
        super().__init__()
        self.outside = Form()
        self.forms: list[Form] = []
        self.current = self.outside

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.current = Form(values.get("action", ""))
            self.forms.append(self.current)
        elif tag == "input" and values.get("name"):
            kind = values.get("type", "text").lower()
            if kind not in _UNSENT:
                found = (kind, values["name"], values.get("value", ""))
                self.current.fields.append(found)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.current = self.outside


def login_form(page: str) -> Form:
    """The form of a page that asks for one password, however many stand beside it.

    Failing that, one that asks for several; failing that, the last one, as what a
    site has on all its pages, like a search, stands in their heads.
    """
    parser = _Forms()
    parser.feed(page)
    several = [*parser.forms, parser.outside]
    asking = [form for form in several if form.passwords]
    asking.sort(key=lambda form: form.passwords)
    return (asking or parser.forms[-1:] or [parser.outside])[0]
