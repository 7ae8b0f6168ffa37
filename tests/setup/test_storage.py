"""Files in a bucket, tried on a server that speaks S3."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import pytest

from tests.setup.conftest import THREE_LINES, Project, clean_environment
from tests.setup.test_projects import free_port
from yourlabs.setup import Setup
from yourlabs.setup.services import storage
from yourlabs.setup.values import Invalid

MakeSetup = Callable[..., Setup]

SECRET = "p/w+#?@"

USE = """\
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage as files
name = files.save("a b.txt", ContentFile(b"content"))
assert files.open(name).read() == b"content"
assert files.listdir("")[1] == ["a b.txt"]
print(files.url(name))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server with a bucket."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(
        command,
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not is_open(port):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    process.kill()
    process.wait(30)


def is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def url(server: str, bucket: str, *options: str) -> str:
    """A URL of a new bucket."""
    client = boto3.client(
        "s3",
        endpoint_url=server,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key=SECRET,
    )
    client.create_bucket(Bucket=bucket)
    place = [f"endpoint_url={server}", "region_name=us-east-1", *options]
    return f"s3://key:{quote(SECRET, safe='')}@{bucket}/site?{'&'.join(place)}"


@pytest.fixture
def site(project: Project) -> Project:
    """A project with one static file."""
    project.write("static/style.css", "body { color: red }\n")
    lines = THREE_LINES.partition("]\n")[2]
    names = ("auth", "contenttypes", "staticfiles")
    apps = [*(f"django.contrib.{name}" for name in names), "yourlabs.setup"]
    project.write("package/urls.py", "urlpatterns = []\n")
    project.write("package/settings.py", f"INSTALLED_APPS = {apps!r}\n{lines}")
    return project


def run(site: Project, *arguments: str, **variables: str) -> str:
    result = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=site.root,
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert result.returncode == 0, result.stderr
    assert SECRET not in result.stdout + result.stderr
    return result.stdout


def keys(server: str, bucket: str) -> list[str]:
    client = boto3.client(
        "s3",
        endpoint_url=server,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key=SECRET,
    )
    found = client.list_objects_v2(Bucket=bucket).get("Contents", [])
    return [entry["Key"] for entry in found]


def test_media(site: Project, server: str) -> None:
    """Uploaded files are in the bucket, static ones on the disk."""
    address = url(server, "media")

    output = run(site, "shell", "-c", USE, DEBUG="1", STORAGE_URL=address)
    run(site, "collectstatic", "--noinput", DEBUG="1", STORAGE_URL=address)

    assert keys(server, "media") == ["site/a b.txt"]
    assert f"{server}/media/site/a%20b.txt?" in output
    assert (site.root / "var/static/style.css").exists()


def test_both(site: Project, server: str) -> None:
    """Both kinds are in folders of their own; static files have their hashes."""
    address = url(server, "both", "for=both")

    run(site, "shell", "-c", USE, STORAGE_URL=address)
    run(site, "collectstatic", "--noinput", STORAGE_URL=address)

    found = keys(server, "both")
    assert "site/media/a b.txt" in found
    assert "site/static/staticfiles.json" in found
    assert [key for key in found if key.startswith("site/static/style.")] != []


def test_frozen(site: Project, server: str) -> None:
    """The frozen module has the storage, and not its secret."""
    address = url(server, "frozen", "for=static")

    frozen = run(site, "setup", "--freeze", STORAGE_URL=address)
    site.write("package/settings.py", frozen)
    run(site, "collectstatic", "--noinput", STORAGE_URL=address)

    assert quote(SECRET, safe="") not in frozen
    assert "site/style.css" in keys(server, "frozen")


S3 = "storages.backends.s3.S3Storage"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://bucket", {"media": (S3, {"bucket_name": "bucket", "location": ""})}),
        (
            "s3://bucket/a/b?for=static&querystring_auth=false",
            {
                "static": (
                    S3,
                    {
                        "bucket_name": "bucket",
                        "querystring_auth": False,
                        "location": "a/b",
                    },
                )
            },
        ),
        (
            "gs://bucket?project_id=mine",
            {
                "media": (
                    "storages.backends.gcloud.GoogleCloudStorage",
                    {"bucket_name": "bucket", "project_id": "mine", "location": ""},
                )
            },
        ),
        (
            "azure://account:k%2Fey%3D%3D@container/x",
            {
                "media": (
                    "storages.backends.azure_storage.AzureStorage",
                    {
                        "azure_container": "container",
                        "account_name": "account",
                        "account_key": "k/ey==",
                        "location": "x",
                    },
                )
            },
        ),
    ],
)
def test_urls(text: str, expected: dict[str, tuple[str, dict[str, Any]]]) -> None:
    """A URL of a storage gives the entries of STORAGES."""
    entries = {
        kind: {"BACKEND": backend, "OPTIONS": options}
        for kind, (backend, options) in expected.items()
    }

    assert storage(text) == entries


@pytest.mark.parametrize(
    "text",
    [
        "hunter2",
        "s3://",
        "s3://k:hunter2@",
        "s3://k:hunter2#@bucket",
        "s3://k:hunter2@bucket?for=hunter2",
        "gs://k:hunter2@bucket",
        "file://hunter2",
        "file://",
        "sftp://u:hunter2@h/x",
        "hunter2://bucket",
    ],
)
def test_bad_urls(text: str) -> None:
    """A URL that is none is an error without any of it."""
    with pytest.raises(Invalid) as error:
        storage(text)

    assert "hunter2" not in str(error.value)


def test_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the package that has the storage."""
    monkeypatch.setattr("yourlabs.setup.values.find_spec", lambda name: None)

    with pytest.raises(Invalid, match="django-storages"):
        storage("s3://bucket")


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ("media", {"MEDIA_ROOT": "/srv/files"}),
        ("static", {"STATIC_ROOT": "/srv/files"}),
        (
            "both",
            {"MEDIA_ROOT": "/srv/files/media", "STATIC_ROOT": "/srv/files/static"},
        ),
    ],
)
def test_folders(
    make_setup: MakeSetup,
    monkeypatch: pytest.MonkeyPatch,
    kinds: str,
    expected: dict[str, str],
) -> None:
    """Files on disk are in the folder of the URL."""
    monkeypatch.setenv("STORAGE_URL", f"file:///srv/files?for={kinds}")
    setup = make_setup(DEBUG=True)

    setup.media()
    setup.static()

    paths = {name: Path(path) for name, path in expected.items()}
    assert setup.settings.items() >= paths.items()
    assert "storages" not in str(setup.settings["STORAGES"])
