"""What has to work before the first request: settings, patterns, databases."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings
from django.db import connections

from yourlabs.smoke import project
from yourlabs.smoke.client import Client
from yourlabs.smoke.conf import Conf, read_conf
from yourlabs.smoke.discovery import Leaf, iter_leaves
from yourlabs.smoke.isolation.database import MAX_COPY_BYTES
from yourlabs.smoke.isolation.sandbox import Sandbox
from yourlabs.smoke.state import CouldNotRunError


def open_conf() -> Conf:
    """Read the setting.

    Raises:
        CouldNotRunError: It is not what the documentation says.
    """
    try:
        return read_conf()
    except Exception as error:
        raise CouldNotRunError(str(error)) from error


def check_apps(wanted: tuple[str, ...]) -> None:
    """Look for apps that were asked for.

    Raises:
        CouldNotRunError: One of them is not installed.
    """
    unknown = project.unknown_app(wanted)
    if unknown:
        raise CouldNotRunError(
            f"No installed app is called {unknown!r}; see INSTALLED_APPS."
        )


def load_leaves(urlconf: Any = None) -> list[Leaf]:
    """List the patterns of the project.

    Args:
        urlconf: A module of URL patterns; ``ROOT_URLCONF`` for None.

    Raises:
        CouldNotRunError: They cannot be imported.
    """
    try:
        return list(iter_leaves(urlconf))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise CouldNotRunError(
            f"{'ROOT_URLCONF' if urlconf is None else 'The URL configuration'} "
            f"{urlconf or getattr(settings, 'ROOT_URLCONF', None)!r} could not "
            f"be loaded: {type(error).__name__}: {error}. "
            "Repair the import that fails first."
        ) from error


def usable_aliases() -> tuple[list[str], dict[str, str]]:
    """The databases that answer, and why the others do not.

    Returns:
        The aliases that can be used, and an error text for each that cannot.
    """
    good, bad = [], {}
    for alias in connections:
        connection = connections[alias]
        if connection.settings_dict["ENGINE"].endswith("backends.dummy"):
            continue
        try:
            connection.ensure_connection()
        except Exception as error:  # each database driver has errors of its own
            bad[alias] = f"{type(error).__name__}: {error}"
        else:
            good.append(alias)
    return good, bad


def open_databases(notes: list[str]) -> list[str]:
    """List the databases that requests can be undone in.

    Args:
        notes: Gets a text for each other database that does not answer.

    Raises:
        CouldNotRunError: The main database does not answer or has no tables, or
            one has no transactions.
    """
    aliases, bad = usable_aliases()
    if "default" in bad:
        raise CouldNotRunError(
            f"The database 'default' does not answer: {bad['default']}"
        )
    notes += [f"The database {a!r} does not answer: {text}" for a, text in bad.items()]
    for alias in aliases:
        if not connections[alias].features.supports_transactions:
            raise CouldNotRunError(
                f"The database {alias!r} has no transactions, so requests "
                "could not be undone."
            )
        notes += _too_large(alias)
    if "default" in aliases:
        connection = connections["default"]
        with connection.cursor() as cursor:
            tables = connection.introspection.table_names(cursor)
        if not tables and project.has_managed_models():
            raise CouldNotRunError(
                "The database 'default' has no tables. Run `manage.py migrate`."
            )
    return aliases


def _too_large(alias: str) -> list[str]:
    """A text for a database whose file is not copied, as it is too large."""
    connection = connections[alias]
    name = str(connection.settings_dict["NAME"])
    is_file = connection.vendor == "sqlite" and os.path.isfile(name)
    if not is_file or os.path.getsize(name) <= MAX_COPY_BYTES:
        return []
    return [
        f"The file of the database {alias!r} is larger than "
        f"{MAX_COPY_BYTES // 1024**3} GiB, so the run worked on it, not on a copy: "
        "whoever else wrote to it had to wait."
    ]


def make_client(sandbox: Sandbox, timeout: float | None) -> Client:
    """Load the middleware; ask for the host that the project answers to.

    Args:
        sandbox: Where each request is undone.
        timeout: Seconds for one request; None means no limit.

    Raises:
        CouldNotRunError: The middleware cannot be loaded.
    """
    try:
        return Client(sandbox, host=project.choose_host(), timeout=timeout)
    except Exception as error:
        raise CouldNotRunError(
            f"The middleware could not be loaded: {type(error).__name__}: {error}"
        ) from error
