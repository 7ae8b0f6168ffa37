"""
Chains of several machines: one lease for each chain, in a row of the database.

``RUNNER["BACKEND"] = "yourlabs.runner.cluster"`` uses it, with this app installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from yourlabs.runner.cluster.backend import ClusterBackend as Backend

__all__ = ["Backend"]


def __getattr__(name: str) -> Any:
    # Only when it is asked for: models cannot be imported while apps are loaded.
    if name == "Backend":
        from yourlabs.runner.cluster.backend import ClusterBackend

        return ClusterBackend
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
