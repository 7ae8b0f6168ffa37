"""URLs of the test suite."""

from __future__ import annotations

urlpatterns: list[object] = []
