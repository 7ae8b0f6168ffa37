"""Mails to the admins."""

from __future__ import annotations


def connect() -> None:
    """Connect the email subscriber."""
