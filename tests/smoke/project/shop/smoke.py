"""URLs that the shop lists itself."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.test import Client

from yourlabs.smoke import SmokeUrl


def magic() -> str:
    """The only value that the magic page takes."""
    return "abracadabra"


class Smoke:
    """What the shop adds to what is discovered."""

    def get_client(self) -> Client:
        """Ask as staff."""
        client = Client()
        client.force_login(get_user_model().objects.filter(is_staff=True).first())
        return client

    def get_urls(self) -> list[object]:
        """Listed as text, as a name and with tags."""
        return [
            "/search/?q=shoe",
            "shop:staff",
            SmokeUrl("/search/?q=crash", tags=["search", "important"]),
        ]
