"""Fill the project's database: ``python -m tests.smoke.project.populate``."""

from __future__ import annotations

import datetime

import django


def populate() -> None:
    """Make some rows of most tables."""
    from django.contrib.auth import get_user_model
    from django.contrib.sites.models import Site

    from tests.smoke.project.defects.models import BadText, Device
    from tests.smoke.project.shop import models

    people = get_user_model().objects
    chief = people.create_superuser("chief@example.com", "secret")
    people.create_user("staff@example.com", "secret", is_staff=True)
    owner = people.create_user("owner@example.com", "secret")
    Site.objects.create(domain="shop.example.com", name="Shop")
    shelves = [
        models.Category.objects.create(name=name, slug=name.lower())
        for name in ("Shoes", "Hats")
    ]
    today = datetime.date(2026, 2, 3)
    articles = [
        models.Article.objects.create(
            category=shelf, title=f"One of {shelf}", slug=f"one-{number}", on=today
        )
        for number, shelf in enumerate(reversed(shelves))
    ]
    models.Purchase.objects.create(owner=owner, article=articles[0], code="P-1")
    models.Purchase.objects.create(owner=chief, article=articles[1], code="P-2")
    models.Shy.things.create(name="shy")
    Device.objects.create(name="phone")
    BadText.objects.create(name="text")


if __name__ == "__main__":
    django.setup()
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)
    populate()
