"""A pytest plugin with one item a URL pattern.

Opt in with ``-p yourlabs.smoke.pytest_plugin`` or in ``pytest_plugins``; leave the
items out of a run with ``--no-smoke``. It needs pytest-django.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from yourlabs.smoke.outcomes import Result

ITEMS = Path(__file__).with_name("pytest_items.py")
"""The module whose one test is collected once a pattern."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare ``--smoke``, ``--no-smoke`` and ``--smoke-strict``."""
    group = parser.getgroup("smoke")
    group.addoption(
        "--smoke",
        action="store_true",
        default=True,
        help="Request every URL of the project, which is the default.",
    )
    group.addoption(
        "--no-smoke",
        action="store_false",
        dest="smoke",
        help="Request no URLs in this run.",
    )
    group.addoption(
        "--smoke-strict", action="store_true", help="Doubtful URLs fail too."
    )


def pytest_configure(config: pytest.Config) -> None:
    """Add the items to what is collected."""
    if config.getoption("--smoke"):
        config.args.append(str(ITEMS))


@pytest.fixture(scope="session")
def smoke_results(
    request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: Any
) -> dict[str, list[Result]]:
    """The results of one run over the selected patterns, by name, in order."""
    from yourlabs.smoke.pytest_items import result_name
    from yourlabs.smoke.run import SmokeRun
    from yourlabs.smoke.state import Options

    items = [i for i in request.session.items if hasattr(i, "callspec")]
    wanted = {
        f"/{item.callspec.params['smoke_leaf'].pattern}"
        for item in items
        if "smoke_leaf" in item.callspec.params
    }
    with django_db_blocker.unblock():
        results = SmokeRun(Options(only=frozenset(wanted))).run()
    found: dict[str, list[Result]] = {}
    for r in results:
        found.setdefault(result_name(r.name, r.pattern, r.language), []).append(r)
    return found
