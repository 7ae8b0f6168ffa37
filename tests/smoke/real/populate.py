"""Fill a real project's database: ``python -m tests.smoke.real.populate NAME``."""

from __future__ import annotations

import base64
import os
import sys
from typing import Any

import django
from django.apps import apps
from django.core.files.base import ContentFile
from django.core.management import call_command

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def model(label: str) -> Any:
    """The manager of a model by its label."""
    return apps.get_model(label)._default_manager


def people() -> tuple[Any, Any]:
    """A superuser and an ordinary user."""
    users = model("auth.User")
    chief = users.create_superuser("chief@example.com", "chief@example.com", "x")
    return chief, users.create_user("user@example.com", "user@example.com", "x")


def oscar() -> None:
    """Products, an order, and what belongs to them."""
    from oscar.test import factories

    chief, user = people()
    product = factories.create_product(price=10, num_in_stock=10)
    shelf = apps.get_model("catalogue.Category").add_root(name="Books")
    shelf = shelf.add_child(name="Fiction")
    model("catalogue.ProductCategory").create(product=product, category=shelf)
    pixel = ContentFile(PIXEL, name="pixel.png")
    model("catalogue.ProductImage").create(product=product, original=pixel)
    basket = factories.create_basket()
    basket.owner = user
    basket.save()
    factories.create_order(basket=basket, user=user, number="100001")
    factories.UserAddressFactory(user=user)
    factories.ProductReviewFactory(product=product, user=user)
    factories.WishListFactory(owner=user)
    factories.VoucherFactory()
    factories.RangeFactory()
    factories.ConditionalOfferFactory()
    factories.PartnerFactory(users=[chief])
    model("communication.CommunicationEventType").create(code="X", name="x")
    model("communication.Notification").create(recipient=user, subject="hello")
    model("communication.Email").create(user=user, email=user.email, subject="s")
    model("customer.ProductAlert").create(product=product, user=user)
    model("shipping.WeightBased").create(name="by weight")
    page = model("flatpages.FlatPage").create(url="/about/", title="About")
    page.sites.add(model("sites.Site").get())


def helpdesk() -> None:
    """A ticket, and what belongs to it."""
    chief, user = people()
    queue = model("helpdesk.Queue").create(
        title="Q", slug="q", allow_public_submission=True
    )
    ticket = model("helpdesk.Ticket").create(
        title="T", queue=queue, submitter_email=user.email, assigned_to=chief
    )
    model("helpdesk.FollowUp").create(ticket=ticket, title="f", user=chief)
    shelf = model("helpdesk.KBCategory").create(title="k", slug="k", name="k")
    model("helpdesk.KBItem").create(category=shelf, title="i", question="q", answer="a")
    model("helpdesk.SavedSearch").create(user=chief, title="s", query="e30=")
    model("helpdesk.PreSetReply").create(name="p", body="b")
    model("helpdesk.TicketCC").create(ticket=ticket, user=user)
    model("helpdesk.IgnoreEmail").create(name="i", email_address="x@example.com")


def wagtail() -> None:
    """Pages, an image, a document and a snippet."""
    people()
    home = apps.get_model("home.HomePage")
    root = apps.get_model("wagtailcore.Page").get_first_root_node()
    first = root.add_child(instance=home(title="Home", slug="first"))
    first.add_child(instance=home(title="Below", slug="below"))
    site = model("wagtailcore.Site").first()
    site.root_page = first
    site.save()
    pixel = ContentFile(PIXEL, name="pixel.png")
    model("wagtailimages.Image").create(title="i", file=pixel, width=1, height=1)
    text = ContentFile(b"x", name="text.txt")
    model("wagtaildocs.Document").create(title="d", file=text)
    model("home.Advert").create(text="x")
    model("wagtailredirects.Redirect").create(old_path="/x", redirect_page=first)


def pretalx() -> None:
    """The conference that its own command makes, with talks and reviews."""
    os.environ.update(
        DJANGO_SUPERUSER_EMAIL="chief@example.com",
        DJANGO_SUPERUSER_PASSWORD="x",
        PRETALX_INIT_ORGANISER_NAME="Organiser",
        PRETALX_INIT_ORGANISER_SLUG="organiser",
    )
    call_command("init", interactive=False)
    call_command("create_test_event", seed="1")


if __name__ == "__main__":
    django.setup()
    known = {one.__name__: one for one in (oscar, helpdesk, wagtail, pretalx)}
    known[sys.argv[1]]()
