"""The project answers no request but with 404."""

from __future__ import annotations

from typing import Any

urlpatterns: list[Any] = []
