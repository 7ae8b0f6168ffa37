"""The admin pages of people."""

from __future__ import annotations

from django.contrib import admin

from tests.smoke.project.people.models import Person

admin.site.register(Person)
