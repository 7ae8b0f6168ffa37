"""Request every URL of a Django project, judge it, remember what failed."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SmokeUrl"]


@dataclass(frozen=True)
class SmokeUrl:
    """One URL that a project lists in an app's ``smoke.py``.

    Attributes:
        url: An absolute path with an optional query string, or the name of a
            URL pattern that needs no parameters.
        tags: Free words kept with a failure, to filter by in the admin.
    """

    url: str
    tags: tuple[str, ...] | list[str] | str = ()

    @property
    def tag_list(self) -> list[str]:
        """The tags as a list, whether one or several were given."""
        return self.tags.split() if isinstance(self.tags, str) else list(self.tags)
