"""Users without a username."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import (
    AbstractBaseUser,
    BaseUserManager,
    PermissionsMixin,
)
from django.db import models


class PersonManager(BaseUserManager):
    """Makes people by their address."""

    def create_user(self, email: str, password: str, **more: Any) -> Any:
        """Make an ordinary person."""
        person = self.model(email=email, **more)
        person.set_password(password)
        person.save()
        return person

    def create_superuser(self, email: str, password: str, **more: Any) -> Any:
        """Make somebody who may do everything."""
        return self.create_user(
            email, password, is_staff=True, is_superuser=True, **more
        )


class Person(AbstractBaseUser, PermissionsMixin):
    """Somebody known by an address."""

    email = models.EmailField(unique=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)

    objects = PersonManager()
    USERNAME_FIELD = "email"

    def __str__(self) -> str:
        return self.email
