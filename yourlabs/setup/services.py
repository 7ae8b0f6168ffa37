"""What Django calls the services that URLs name. All of it raises ``Invalid``."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from yourlabs.setup import values
from yourlabs.setup.values import Invalid, Url, known, need, number, typed

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
SWITCHES = "ATOMIC_REQUESTS AUTOCOMMIT CONN_HEALTH_CHECKS DISABLE_SERVER_SIDE_CURSORS"
PLACES = {"user": "USER", "dbname": "NAME"}

EMAIL_TIMEOUT = 10
"""Seconds an SMTP server is waited for when the URL says nothing."""

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
    "s3": ("s3.S3", "bucket_name", "access_key", "secret_key"),
    "gs": ("gcloud.GoogleCloud", "bucket_name", "", ""),
    "azure": ("azure_storage.Azure", "azure_container", "account_name", "account_key"),
    "file": ("", "", "", ""),
}


def database(text: str, root: Path) -> dict[str, Any]:
    """Return the ``DATABASES`` entry of a URL, relative to ``root`` for SQLite."""
    url = values.parse_url(
        re.sub(r"(?i)^(\s*(sqlite3?|spatialite)://):memory:\s*$", r"\1", text)
    )
    engine = known(url, ENGINES, "DATABASES")
    need(engine)
    if engine.endswith(("sqlite3", "spatialite")):
        if url.one_host() != ("", None) or url.user:
            raise Invalid(
                "expected sqlite:///path from the project's folder, or sqlite:////path"
            )
        name = url.path[1:].removeprefix(":memory:")
        name = os.path.join(root, name) if name else ":memory:"
        return {"ENGINE": engine, **sqlite(name, url.options)}
    url = _located(url)
    if not engine.endswith(("postgresql", "postgis", "cockroachdb")):
        url.one_host()
    # Without a port Django would take Oracle's name for all there is to know.
    default = 1521 if engine.endswith("oracle") and url.hosts[0][0] else ""
    ports = [port or default for _, port in url.hosts]
    entry: dict[str, Any] = {
        "ENGINE": engine,
        "NAME": url.path[1:],
        "USER": url.user,
        "PASSWORD": url.password,
        "HOST": ",".join(host for host, _ in url.hosts),
        "PORT": ports[0] if len(ports) == 1 else ",".join(map(str, ports)),
    }
    if not any(ports):
        entry["PORT"] = ""
    _add_options(entry, url.options, {})
    if not entry["NAME"] and "service" not in entry.get("OPTIONS", {}):
        raise Invalid("expected the name of a database after the host, as /name")
    if "/" in url.raw_path[1:]:
        raise Invalid("expected one name of a database, a / in it as %2F")
    return entry


def _located(url: Url) -> Url:
    """Return a URL whose options say where the server is with that as its hosts."""
    given, hosts = dict(url.options), url.hosts
    if found := given.pop("host", "") or given.pop("unix_socket", ""):
        is_socket = found.startswith("/")
        items = [] if is_socket else found.split(",")
        hosts = [values.host_and_port(item) for item in items] or [(found, None)]
    if found := given.pop("port", ""):
        ports = [number(port, "port") for port in found.split(",")]
        ports *= len(hosts) if len(ports) == 1 else 1
        if len(ports) != len(hosts):
            raise Invalid("expected one port, or one for each host")
        hosts = [(host, port) for (host, _), port in zip(hosts, ports, strict=True)]
    return url._replace(hosts=hosts, options=given)


def sqlite(name: str, options: dict[str, str]) -> dict[str, Any]:
    """Return name and options of a database of SQLite that many processes write."""
    entry: dict[str, Any] = {"NAME": name}
    given, defaults = dict(options), {}
    if name != ":memory:":
        pragmas = {n: given.pop(n, value) for n, value in SQLITE_PRAGMAS.items()}
        if not all(re.fullmatch(r"\w+", value) for value in pragmas.values()):
            raise Invalid(f"expected a word for each of {', '.join(pragmas)}")
        command = ";".join(f"PRAGMA {n}={value}" for n, value in pragmas.items())
        defaults = {**SQLITE_OPTIONS, "init_command": command}
    _add_options(entry, given, defaults)
    return entry


def _add_options(
    entry: dict[str, Any], given: dict[str, str], options: dict[str, Any]
) -> None:
    """Add options as Django and the driver know them, of what providers write."""
    is_mysql = "mysql" in entry.get("ENGINE", "")
    for given_name, value in given.items():
        name = given_name.replace("-", "_") if is_mysql else given_name
        name = "disable_server_side_cursors" if name == "pgbouncer" else name
        upper = name.upper()
        if upper in SWITCHES.split():
            entry[upper] = values.as_bool(value, f"expected the option {name} to be")
        elif upper == "CONN_MAX_AGE":
            entry[upper] = None if value.lower() == "none" else number(value, name)
        elif upper == "TIME_ZONE":
            entry[upper] = value
        elif name in PLACES and "HOST" in entry:
            entry[PLACES[name]] = value
        elif name == "currentSchema":
            options["options"] = f"-c search_path={value}"
        elif is_mysql and name == "ssl_ca":
            options["ssl"] = {"ca": value}
        elif not (is_mysql and name == "reconnect"):
            options[name] = typed(value, name)
    if options:
        entry["OPTIONS"] = options


def cache(text: str) -> dict[str, Any]:
    """Return the ``CACHES`` entry of a URL, or of several URLs of Redis."""
    urls = re.split(r"[,;](?=rediss?://)", text.strip())
    url = values.parse_url(urls[0])
    backend = known(url, CACHES, "CACHES")
    entry: dict[str, Any] = {"BACKEND": f"django.core.cache.backends.{backend}"}
    entry["LOCATION"] = _cache_location(urls, url, backend)
    options: dict[str, Any] = {}
    for name, value in url.options.items():
        if name in CACHE_OPTIONS:
            is_none = name == "timeout" and value.lower() == "none"
            is_text = name == "key_prefix"
            read = value if is_text else None if is_none else number(value, name)
            entry[CACHE_OPTIONS[name]] = read
        elif backend.startswith("redis"):
            # It stays in the URL, where the client would refuse it at the first use.
            number(value, name) if name == "db" else typed(value, name)
        elif backend.startswith("memcached"):
            options[name] = typed(value, name)
        else:
            if name not in ("max_entries", "cull_frequency"):
                raise Invalid("the options are max_entries, cull_frequency, timeout")
            options[name.upper()] = number(value, name)
    if options:
        entry["OPTIONS"] = options
    return {name: value for name, value in entry.items() if value != ""}


def _cache_location(urls: list[str], url: Url, backend: str) -> str | list[str]:
    if backend.startswith("redis"):
        found = [location for text in urls for location in _redis_location(text)]
        # Django splits a string at these, in the middle of a password if need be.
        is_split = len(found) > 1 or "," in found[0] or ";" in found[0]
        return found if is_split else found[0]
    if url.user or url.password:
        raise Invalid("expected no user and no password: this cache takes none")
    if backend.startswith("memcached"):
        if url.path.strip("/"):
            return f"unix:{url.path}"
        hosts = [(f"[{h}]" if ":" in h else h or "localhost", p) for h, p in url.hosts]
        servers = [f"{host}:{port or 11211}" for host, port in hosts]
        return servers if len(servers) > 1 else servers[0]
    host, _ = url.one_host()
    name = (host + url.path).strip("/")
    if backend.startswith("file"):
        if host or not name:
            raise Invalid("expected the folder of the cache, as file:///path")
        return url.path
    if backend.startswith("db") and not re.fullmatch(r"\w+", name):
        raise Invalid("expected the name of the table of the cache, as db://table")
    return name


def _redis_location(text: str) -> list[str]:
    url = values.parse_url(text)
    if url.scheme != "unix" and not re.fullmatch(r"/?|/\d+/?", url.path):
        raise Invalid("expected the number of a database after the host, as /1")
    base, _, query = text.partition("?")
    kept = [i for i in query.split("&") if i.partition("=")[0] not in CACHE_OPTIONS]
    # Celery writes CERT_NONE; the client of Redis knows it as none.
    pattern = "(?i)(^ssl_cert_reqs=)(?:cert_)?(.*)"
    kept = [re.sub(pattern, lambda m: m[1] + m[2].lower(), item) for item in kept]
    end = f"?{'&'.join(kept)}" if any(kept) else ""
    match = re.fullmatch(r"(.*?://(?:.*@)?)([^/]*)(.*)", base)
    begin, hosts, path = match.groups() if match else ("", base, "")
    return [f"{begin}{host}{path}{end}" for host in hosts.split(",")]


def mailer(text: str) -> dict[str, Any]:
    """Return the ``MAILERS`` entry of a URL."""
    url = values.parse_url(text)
    backend = known(url, MAILERS, "MAILERS or EMAIL_BACKEND")
    entry = {"BACKEND": f"django.core.mail.backends.{backend}.EmailBackend"}
    if backend == "filebased":
        if not url.path.strip("/"):
            raise Invalid("expected the folder of the mails, as file:///path")
        return {**entry, "OPTIONS": {"file_path": url.path}}
    return {**entry, "OPTIONS": _smtp_options(url)} if backend == "smtp" else entry


def _smtp_options(url: Url) -> dict[str, Any]:
    if url.path.strip("/"):
        raise Invalid("expected nothing after the host and the port of the server")
    given, (host, port) = dict(url.options), url.one_host()
    use_ssl, use_tls = url.scheme in ("smtps", "smtp+ssl"), url.scheme == "smtp+tls"
    expected = "expected the options tls and ssl to be"
    use_ssl = values.as_bool(given.pop("ssl", str(use_ssl)), expected)
    use_tls = values.as_bool(given.pop("tls", str(use_tls)), expected)
    if port == 465 and not use_ssl:
        raise Invalid("expected smtps:// with the port 465, it is TLS from the start")
    if use_ssl and use_tls:
        raise Invalid("expected either ssl or tls, they exclude each other")
    options: dict[str, Any] = {
        "host": host or "localhost",
        "port": port or (465 if use_ssl else 587 if use_tls else 25),
        "use_tls": use_tls,
        "use_ssl": use_ssl,
        "timeout": number(given.pop("timeout", str(EMAIL_TIMEOUT)), "timeout"),
    }
    if not options["timeout"]:
        raise Invalid("expected the option timeout to be more than 0 seconds")
    if url.user or url.password:
        options |= {"username": url.user, "password": url.password}
    for name in {"ssl_certfile", "ssl_keyfile"} & given.keys():
        options[name] = given.pop(name)
    if given:
        raise Invalid("the options are timeout, tls, ssl, ssl_certfile, ssl_keyfile")
    return options


def storage(text: str) -> dict[str, dict[str, Any]]:
    """Return the entries of ``STORAGES`` that a URL gives, by ``media`` and ``static``.

    The class of S3 for static files is not complete: files may have hashes in their
    names or not. An entry of files on disk is nothing but their folder.
    """
    url = values.parse_url(text)
    backend, bucket, user, password = known(url, STORAGES, "STORAGES")
    given, (host, _) = dict(url.options), url.one_host()
    kinds = {"media": ["media"], "static": ["static"], "both": ["media", "static"]}
    found = kinds.get(given.pop("for", "media"))
    if found is None:
        raise Invalid("expected the option for to be media, static or both")
    folders = {k: url.path.rstrip("/") + f"/{k}" * (len(found) > 1) for k in found}
    if not backend:
        if host or not url.path.strip("/") or given:
            raise Invalid("expected the folder of the files, as file:///path")
        return {kind: {"folder": folder} for kind, folder in folders.items()}
    need("storages")
    if not host or (url.user and not user):
        raise Invalid("expected a bucket, as s3://key:secret@bucket/folder")
    options: dict[str, Any] = {bucket: host, user: url.user, password: url.password}
    options |= {name: typed(value, name) for name, value in given.items()}
    options = {name: value for name, value in options.items() if name and value != ""}
    entry = {"BACKEND": f"storages.backends.{backend}Storage"}
    return {
        kind: {**entry, "OPTIONS": {**options, "location": folder.strip("/")}}
        for kind, folder in folders.items()
    }


def has_whitenoise() -> bool:
    """Whether whitenoise can be imported."""
    return find_spec("whitenoise") is not None


def storages(
    found: dict[str, dict[str, Any]], is_debug: bool
) -> dict[str, dict[str, Any]]:
    """Return ``STORAGES``: files on disk, but for what a URL says of some."""
    kind = "Static" if is_debug else "ManifestStatic"
    static = f"django.contrib.staticfiles.storage.{kind}FilesStorage"
    if has_whitenoise() and not is_debug:
        static = "whitenoise.storage.CompressedManifestStaticFilesStorage"
    media = {"BACKEND": "django.core.files.storage.FileSystemStorage"}
    entries: dict[str, Any] = {"default": media, "staticfiles": {"BACKEND": static}}
    if "BACKEND" in found.get("media", {}):
        entries["default"] = found["media"]
    if "BACKEND" in found.get("static", {}):
        backend = found["static"]["BACKEND"].replace("S3S", f"S3{kind}S")
        entries["staticfiles"] = {**found["static"], "BACKEND": backend}
    return entries
