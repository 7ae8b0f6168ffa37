"""URLs of services, and what Django calls what they name."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from yourlabs.setup.values import Invalid, Url, number, parse_url, switch, typed
from yourlabs.setup.versions import EMAIL_TIMEOUT

_DJANGO, _GIS = "django.db.backends.", "django.contrib.gis.db.backends."
ENGINES = {
    "sqlite sqlite3": _DJANGO + "sqlite3",
    "spatialite": _GIS + "spatialite",
    "postgres postgresql pgsql psql": _DJANGO + "postgresql",
    "postgis": _GIS + "postgis",
    "mysql mysql2 mariadb": _DJANGO + "mysql",
    "mysqlgis": _GIS + "mysql",
    "mysql-connector": "mysql.connector.django",
    "oracle": _DJANGO + "oracle",
    "oraclegis": _GIS + "oracle",
    "mssql mssqlms": "mssql",
    "cockroach cockroachdb": "django_cockroachdb",
    "redshift": "django_redshift_backend",
    "timescale": "timescale.db.backends.postgresql",
    "timescalegis": "timescale.db.backends.postgis",
}
PACKAGES = {
    "django_cockroachdb": "django-cockroachdb",
    "django_redshift_backend": "django-redshift-backend",
    "mssql": "mssql-django",
    "mysql": "mysql-connector-python",
    "storages": "django-storages",
    "timescale": "django-timescaledb",
}
"""What has to be installed for the modules that are not Django's."""

DATABASE_SWITCHES = frozenset(
    {"ATOMIC_REQUESTS", "AUTOCOMMIT", "CONN_HEALTH_CHECKS"}
    | {"DISABLE_SERVER_SIDE_CURSORS"}
)
PLACES = {
    "host": "HOST",
    "unix_socket": "HOST",
    "port": "PORT",
    "user": "USER",
    "dbname": "NAME",
}
SQLITE_OPTIONS = {"timeout": 20, "transaction_mode": "IMMEDIATE"}
SQLITE_PRAGMAS = {"journal_mode": "WAL", "synchronous": "NORMAL"}
"""Readers and one writer side by side, and writers wait for each other."""

CACHES = {
    "redis rediss unix": "redis.RedisCache",
    "memcached pymemcache": "memcached.PyMemcacheCache",
    "pylibmc": "memcached.PyLibMCCache",
    "locmem": "locmem.LocMemCache",
    "file": "filebased.FileBasedCache",
    "db": "db.DatabaseCache",
    "dummy": "dummy.DummyCache",
}
CACHE_OPTIONS = {"timeout": "TIMEOUT", "key_prefix": "KEY_PREFIX", "version": "VERSION"}
MAILERS = {
    "smtp smtps smtp+tls smtp+ssl": "smtp",
    "console": "console",
    "locmem": "locmem",
    "dummy": "dummy",
    "file": "filebased",
}
STORAGES = {
    "s3": ("storages.backends.s3.S3", "bucket_name", "access_key", "secret_key"),
    "gs": ("storages.backends.gcloud.GoogleCloud", "bucket_name", "", ""),
    "azure": (
        "storages.backends.azure_storage.Azure",
        *("azure_container", "account_name", "account_key"),
    ),
    "file": ("", "", "", ""),
}
ELSEWHERE = {
    "submission": "write smtp+tls:// for it",
    "ses mailgun mailjet mandrill postmark sendgrid sparkpost brevo sendinblue resend "
    "mailersend": "that is no SMTP: use its SMTP server, or install django-anymail",
    "valkey valkeys": "install django-valkey, or write redis:// for it",
    "redis+sentinel sentinel redis-sentinel": "install django-redis, "
    "Django has no client of a sentinel",
    "sftp ftp dropbox": "django-storages has it",
}
"""Schemes that Django alone does not know, and what to do."""


def database(text: str, root: Path) -> dict[str, Any]:
    """Return the ``DATABASES`` entry of a URL.

    Args:
        text: The URL.
        root: The folder a relative SQLite path starts from.

    Raises:
        Invalid: When it is no URL of a database that is known.
    """
    if re.fullmatch(r"(?i)\s*(sqlite3?|spatialite)://:memory:\s*", text):
        text = text.partition(":")[0].strip() + "://"
    url = parse_url(text)
    engine = _known(url, ENGINES, "DATABASES")
    _need(engine)
    if engine.endswith(("sqlite3", "spatialite")):
        return {"ENGINE": engine, **sqlite(_sqlite_name(url, root), url)}
    hosts, ports = zip(*url.hosts, strict=True)
    if len(hosts) > 1 and not engine.endswith(("postgresql", "postgis", "cockroachdb")):
        raise Invalid("expected one host, only PostgreSQL has more")
    port = ",".join(str(port or "") for port in ports) if len(ports) > 1 else ports[0]
    if hosts[0] and engine.endswith("oracle"):
        # Without a port Django would take the name for all there is to know.
        port = port or 1521
    entry: dict[str, Any] = {
        "ENGINE": engine,
        "NAME": url.path[1:],
        "USER": url.user or "",
        "PASSWORD": url.password or "",
        "HOST": ",".join(hosts),
        "PORT": "" if port is None or not str(port).strip(",") else port,
    }
    _add_options(entry, url.options, _dialect(engine, url.options))
    if not entry["NAME"] and "service" not in entry.get("OPTIONS", {}):
        raise Invalid("expected the name of a database after the host, as /name")
    if "/" in url.raw_path[1:]:
        raise Invalid("expected one name of a database, a / in it as %2F")
    return entry


def sqlite(name: str, url: Url | None = None) -> dict[str, Any]:
    """Return name and options of a database of SQLite that many processes write."""
    entry: dict[str, Any] = {"NAME": name}
    given = dict(url.options) if url else {}
    options: dict[str, Any] = {}
    if name != ":memory:":
        pragmas = {n: given.pop(n, value) for n, value in SQLITE_PRAGMAS.items()}
        if not all(re.fullmatch(r"\w+", value) for value in pragmas.values()):
            raise Invalid(f"expected a word for each of {', '.join(pragmas)}")
        command = ";".join(f"PRAGMA {n}={value}" for n, value in pragmas.items())
        options = {**SQLITE_OPTIONS, "init_command": command}
    _add_options(entry, given, options)
    return entry


def _sqlite_name(url: Url, root: Path) -> str:
    if url.host or url.user is not None or url.port:
        raise Invalid(
            "expected sqlite:///path from the project's folder, or sqlite:////path"
        )
    name = url.path[1:]
    return ":memory:" if name in ("", ":memory:") else os.path.join(root, name)


def _dialect(engine: str, options: dict[str, str]) -> dict[str, Any]:
    """Take from the options those that are written otherwise for the driver."""
    if "mysql" in engine:
        # As providers write them; the driver reconnects itself.
        options.pop("reconnect", None)
        certificate = options.pop("ssl-ca", None)
        for name in [name for name in options if "-" in name]:
            options[name.replace("-", "_")] = options.pop(name)
        return {"ssl": {"ca": certificate}} if certificate else {}
    if "pgbouncer" in options:
        options["disable_server_side_cursors"] = options.pop("pgbouncer")
    schema = options.pop("currentSchema", None)
    pool = {
        name.removeprefix("pool_"): number(options.pop(name), name)
        for name in list(options)
        if name.startswith("pool_")
    }
    found = {"options": f"-c search_path={schema}"} if schema else {}
    return {**found, **({"pool": pool} if pool else {})}


def _add_options(
    entry: dict[str, Any], given: dict[str, str], options: dict[str, Any]
) -> None:
    for name, value in given.items():
        upper = name.upper()
        if upper in DATABASE_SWITCHES:
            entry[upper] = switch(value, name)
        elif upper == "CONN_MAX_AGE":
            entry[upper] = None if value.lower() == "none" else number(value, name)
        elif upper == "TIME_ZONE":
            entry[upper] = value
        elif name in PLACES and "HOST" in entry:
            entry[PLACES[name]] = typed(value, name)
        elif not (name == "pool" and "pool" in options):
            options[name] = typed(value, name)
    if options:
        entry["OPTIONS"] = options


def cache(text: str) -> dict[str, Any]:
    """Return the ``CACHES`` entry of a URL.

    Raises:
        Invalid: When it is no URL of a cache that is known.
    """
    url = parse_url(text)
    backend = _known(url, CACHES, "CACHES")
    entry: dict[str, Any] = {
        "BACKEND": f"django.core.cache.backends.{backend}",
        "LOCATION": _cache_location(text.strip(), url, backend),
    }
    options: dict[str, Any] = {}
    for name, value in url.options.items():
        if name in ("timeout", "version"):
            is_none = name == "timeout" and value.lower() == "none"
            entry[CACHE_OPTIONS[name]] = None if is_none else number(value, name)
        elif name == "key_prefix":
            entry["KEY_PREFIX"] = value
        elif name in ("max_entries", "cull_frequency") and "redis" not in backend:
            options[name.upper()] = number(value, name)
        elif backend.startswith("memcached"):
            options[name] = typed(value, name)
        elif "redis" not in backend:
            raise Invalid("the options are timeout, key_prefix, version, max_entries")
    if options:
        entry["OPTIONS"] = options
    return {name: value for name, value in entry.items() if value != ""}


def _cache_location(text: str, url: Url, backend: str) -> str | list[str]:
    if "redis" in backend:
        return _redis_locations(text, url)
    if url.user is not None or url.password is not None:
        raise Invalid("expected no user and no password: this cache takes none")
    if backend.startswith("memcached"):
        if url.path.strip("/"):
            return f"unix:{url.path}"
        hosts = [f"[{host}]" if ":" in host else host for host, _ in url.hosts]
        servers = zip(hosts, (port or 11211 for _, port in url.hosts), strict=True)
        found = [f"{host or 'localhost'}:{port}" for host, port in servers]
        return found if len(found) > 1 else found[0]
    name = (url.host + url.path).strip("/")
    if "file" in backend:
        if url.host or not name:
            raise Invalid("expected the folder of the cache, as file:///path")
        return url.path
    if "db" in backend and not re.fullmatch(r"\w+", name):
        raise Invalid("expected the name of the table of the cache, as db://table")
    return name


def _redis_locations(text: str, url: Url) -> str | list[str]:
    base, _, query = text.partition("?")
    kept = [i for i in query.split("&") if i.partition("=")[0] not in CACHE_OPTIONS]
    # Celery's spelling; the client of Redis knows it without the prefix.
    words = re.sub(
        r"(?i)(?<=ssl_cert_reqs=)cert_(\w+)", lambda m: m[1].lower(), "&".join(kept)
    )
    query = f"?{words}" if words else ""
    before, separator, rest = base.partition("://")
    userinfo, at, rest = rest.rpartition("@")
    hosts, slash, path = rest.partition("/")
    begin = f"{before}{separator}{userinfo}{at}"
    found = [f"{begin}{host}{slash}{path}{query}" for host in hosts.split(",")]
    # Django splits a string at these, in the middle of a password if need be.
    is_split = len(found) > 1 or "," in found[0] or ";" in found[0]
    return found if is_split else found[0]


def mailer(text: str) -> dict[str, Any]:
    """Return the ``MAILERS`` entry of a URL.

    Raises:
        Invalid: When it is no URL of a mailer that is known.
    """
    url = parse_url(text)
    backend = _known(url, MAILERS, "MAILERS or EMAIL_BACKEND")
    entry: dict[str, Any] = {
        "BACKEND": f"django.core.mail.backends.{backend}.EmailBackend"
    }
    if backend == "filebased":
        if not url.path.strip("/"):
            raise Invalid("expected the folder of the mails, as file:///path")
        entry["OPTIONS"] = {"file_path": url.path}
    elif backend == "smtp":
        entry["OPTIONS"] = _smtp_options(url)
    return entry


def _smtp_options(url: Url) -> dict[str, Any]:
    if url.path.strip("/"):
        raise Invalid("expected nothing after the host and the port of the server")
    given = dict(url.options)
    use_ssl = url.scheme in ("smtps", "smtp+ssl")
    use_tls = url.scheme == "smtp+tls"
    use_ssl = switch(given.pop("ssl", str(use_ssl)), "ssl")
    use_tls = switch(given.pop("tls", str(use_tls)), "tls")
    if use_ssl and use_tls:
        raise Invalid("expected either ssl or tls, they exclude each other")
    options: dict[str, Any] = {
        "host": url.host or "localhost",
        "port": url.port or (465 if use_ssl else 587 if use_tls else 25),
        "use_tls": use_tls,
        "use_ssl": use_ssl,
        "timeout": number(given.pop("timeout", str(EMAIL_TIMEOUT)), "timeout"),
    }
    if not options["timeout"]:
        raise Invalid("expected the option timeout to be more than 0 seconds")
    if url.user or url.password:
        options |= {"username": url.user or "", "password": url.password or ""}
    for name in ("ssl_certfile", "ssl_keyfile"):
        if name in given:
            options[name] = given.pop(name)
    if given:
        raise Invalid("the options are timeout, tls, ssl, ssl_certfile, ssl_keyfile")
    return options


class Storage(NamedTuple):
    """Where files are, of which kinds."""

    entry: dict[str, Any]
    """The entry of ``STORAGES`` without the rest of its class; empty for files."""

    kinds: tuple[str, ...]
    """``media``, ``static`` or both."""

    root: str
    """The folder, of the disk or of the bucket."""

    def folder(self, kind: str) -> str:
        """The folder of the files of one kind: its own where both have one."""
        return os.path.join(self.root, kind) if len(self.kinds) > 1 else self.root

    def static(self, name: str) -> dict[str, Any]:
        """Return the entry for static files, ``name`` being what the disk would use."""
        begin = self.entry["BACKEND"]
        if begin.endswith("S3"):
            begin += "ManifestStatic" if "Manifest" in name else "Static"
        return self._located(begin, "static")

    def media(self) -> dict[str, Any]:
        """Return the entry for uploaded files."""
        return self._located(self.entry["BACKEND"], "media")

    def _located(self, begin: str, kind: str) -> dict[str, Any]:
        options = {**self.entry["OPTIONS"], "location": self.folder(kind)}
        return {
            "BACKEND": f"{begin}Storage",
            "OPTIONS": {name: value for name, value in options.items() if value != ""},
        }


def storage(text: str) -> Storage:
    """Return what a URL of a storage means.

    Raises:
        Invalid: When it is no URL of a storage that is known.
    """
    url = parse_url(text)
    backend, bucket, user, password = _known(url, STORAGES, "STORAGES")
    given = dict(url.options)
    word = given.pop("for", "media")
    kinds = {"media": ("media",), "static": ("static",), "both": ("media", "static")}
    if word not in kinds:
        raise Invalid("expected the option for to be media, static or both")
    if not backend:
        if url.host or not url.path.strip("/") or given:
            raise Invalid("expected the folder of the files, as file:///path")
        return Storage({}, kinds[word], url.path)
    _need("storages")
    if not url.host or (not user and url.user is not None):
        raise Invalid("expected a bucket, as s3://key:secret@bucket/folder")
    options: dict[str, Any] = {bucket: url.host}
    options |= {user: url.user or "", password: url.password or ""}
    options |= {name: typed(value, name) for name, value in given.items()}
    options.pop("", None)
    return Storage(
        {"BACKEND": backend, "OPTIONS": options}, kinds[word], url.path.strip("/")
    )


def _known(url: Url, schemes: dict[str, Any], setting: str) -> Any:
    for names, value in schemes.items():
        if url.scheme in names.split():
            return value
    for names, advice in ELSEWHERE.items():
        if url.scheme in names.split():
            raise Invalid(f"{url.scheme}:// is not known: {advice}")
    # Not the scheme that was found: it may be the beginning of a password.
    raise Invalid(
        f"expected a URL that begins with one of {', '.join(' '.join(schemes).split())}"
        f"; for anything else set {setting} in the settings file"
    )


def _need(engine: str) -> None:
    module = engine.partition(".")[0]
    if module in PACKAGES and find_spec(module) is None:
        raise Invalid(f"install the package {PACKAGES[module]}: it is not there")


def password_source(password: Any, source: str) -> dict[str, str]:
    """Return an expression for the password of a URL that ``source`` gives."""
    if not password:
        return {}
    return {password: f"unquote({source}.partition('@')[0].rpartition(':')[2])"}


def location_sources(entry: dict[str, Any], source: str) -> dict[str, str]:
    """Return expressions for the locations of a cache that ``source`` gives."""
    found = entry.get("LOCATION", "")
    userinfo = f"{source}.partition('://')[2].partition('@')[0]"
    secrets = {}
    for location in [found] if isinstance(found, str) else found:
        before, _, rest = location.partition("://")
        if "@" in rest:
            end = rest[rest.index("@") :]
            secrets[location] = f"{before + '://'!r} + {userinfo} + {end!r}"
    return secrets
