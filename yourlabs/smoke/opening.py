"""What has to work before the first request: settings, patterns, databases."""

from __future__ import annotations

import os

from django.apps import apps
from django.conf import settings
from django.db import connections

from yourlabs.smoke.client import Client
from yourlabs.smoke.conf import Conf, read_conf
from yourlabs.smoke.discovery import Leaf, iter_leaves, leaf_key
from yourlabs.smoke.hosts import choose_host
from yourlabs.smoke.isolation.database import MAX_COPY_BYTES
from yourlabs.smoke.isolation.sandbox import Sandbox
from yourlabs.smoke.state import CouldNotRunError

TOO_LARGE = (
    "The file of the database {!r} is larger than "
    f"{MAX_COPY_BYTES // 1024**3} GiB, so the run worked on it, not on a copy: "
    "whoever else wrote to it had to wait."
)


def open_conf(wanted: tuple[str, ...]) -> Conf:
    """Read the setting, and look for the apps that were asked for.

    Raises:
        CouldNotRunError: The setting is not what the documentation says, or one of
            the apps is not installed.
    """
    known = {name for c in apps.get_app_configs() for name in (c.label, c.name)}
    for name in wanted:
        if name not in known:
            raise CouldNotRunError(
                f"No installed app is called {name!r}; see INSTALLED_APPS."
            )
    try:
        return read_conf()
    except Exception as error:
        raise CouldNotRunError(str(error)) from error


def load_leaves(urlconf: str | None = None) -> list[Leaf]:
    """List the patterns of a module; of ``ROOT_URLCONF`` for None.

    Raises:
        CouldNotRunError: They cannot be imported.
    """
    try:
        found = {leaf_key(one.chain, one.language): one for one in iter_leaves(urlconf)}
        return list(found.values())
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise CouldNotRunError(
            f"{'ROOT_URLCONF' if urlconf is None else 'The URL configuration'} "
            f"{urlconf or getattr(settings, 'ROOT_URLCONF', None)!r} could not "
            f"be loaded: {type(error).__name__}: {error}. "
            "Repair the import that fails first."
        ) from error


def open_databases(notes: list[str]) -> list[str]:
    """List the databases that requests can be undone in.

    Args:
        notes: Gets a text for each other database that does not answer.

    Raises:
        CouldNotRunError: The main database does not answer or has no tables, or
            one has no transactions.
    """
    aliases = []
    for alias in connections:
        connection = connections[alias]
        if connection.settings_dict["ENGINE"].endswith("backends.dummy"):
            continue
        try:
            connection.ensure_connection()
        except Exception as error:  # each database driver has errors of its own
            text = f"The database {alias!r} does not answer: "
            text += f"{type(error).__name__}: {error}"
            if alias == "default":
                raise CouldNotRunError(text) from error
            notes.append(text)
            continue
        if not connection.features.supports_transactions:
            raise CouldNotRunError(
                f"The database {alias!r} has no transactions, so requests "
                "could not be undone."
            )
        name = str(connection.settings_dict["NAME"])
        is_file = connection.vendor == "sqlite" and os.path.isfile(name)
        if is_file and os.path.getsize(name) > MAX_COPY_BYTES:
            notes.append(TOO_LARGE.format(alias))
        aliases.append(alias)
    if "default" in aliases:
        tables = connections["default"].introspection.table_names()
        if not tables and any(model._meta.managed for model in apps.get_models()):
            raise CouldNotRunError(
                "The database 'default' has no tables. Run `manage.py migrate`."
            )
    return aliases


def make_client(sandbox: Sandbox, timeout: float | None) -> Client:
    """Load the middleware; ask for the host that the project answers to.

    Raises:
        CouldNotRunError: The middleware cannot be loaded.
    """
    try:
        return Client(sandbox, host=choose_host(), timeout=timeout)
    except Exception as error:
        raise CouldNotRunError(
            f"The middleware could not be loaded: {type(error).__name__}: {error}"
        ) from error
