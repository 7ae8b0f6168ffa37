"""Compare the wall time of a run with that of django-smoke-tests.

Usage: ``python -m tests.benchmarks.bench_smoke [PATTERNS]``. Both request the same
project, one after the other, in processes of their own; django-smoke-tests makes a
test database first, as it cannot do without. Exits with 1 when it is the faster one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATTERNS = 500
SETTINGS = """
SECRET_KEY = "only for the benchmark"
DEBUG = True
ROOT_URLCONF = "bench_urls"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "yourlabs.smoke",
    "django_smoke_tests",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "bench.sqlite3"}
}
"""
URLS = """
from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import Group, Permission
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path


def listing(request):
    return HttpResponse(", ".join(p.name for p in Permission.objects.all()[:20]))


def detail(request, pk):
    return HttpResponse(str(get_object_or_404(Permission, pk=pk)))


private = login_required(listing)
urlpatterns = [path("admin/", admin.site.urls)]
for number in range((PATTERNS - 24) // 3):
    urlpatterns += [
        path(f"list/{number}/", listing),
        path(f"detail/{number}/<int:pk>/", detail),
        path(f"private/{number}/", private),
    ]
"""


def timed(folder: str, *arguments: str) -> tuple[float, str]:
    """Run ``python -m django …``; its wall time in seconds, and what it said last."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((folder, str(ROOT))),
        "DJANGO_SETTINGS_MODULE": "bench_settings",
    }
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "django", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    lines = (done.stdout + done.stderr).strip().splitlines()
    return seconds, lines[-1] if lines else ""


def main(patterns: int) -> int:
    """Print both wall times."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder)
        (target / "bench_settings.py").write_text(SETTINGS, encoding="utf-8")
        urls = f"PATTERNS = {patterns}\n{URLS}"
        (target / "bench_urls.py").write_text(urls, encoding="utf-8")
        timed(folder, "migrate", "--verbosity", "0")
        ours, said = timed(folder, "smoke", "--verbosity", "0")
        theirs, said_by_them = timed(folder, "smoke_tests")
    print(f"yourlabs.smoke      {ours:7.2f} s  {said}")
    print(f"django-smoke-tests  {theirs:7.2f} s  {said_by_them}")
    return int(ours > theirs)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else PATTERNS))
