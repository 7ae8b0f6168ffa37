"""Configuration of Sphinx."""

from __future__ import annotations

import sys
from pathlib import Path

import django
from django.conf import settings

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

# autodoc imports models and checks, which want Django to be ready.
settings.configure(
    BASE_DIR=ROOT,
    SECRET_KEY="only for the documentation",
    USE_TZ=True,
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
        *(
            f"yourlabs.{name}"
            for name in ("runner", "smoke")
            if (ROOT / "yourlabs" / name / "apps.py").exists()
        ),
    ],
)
django.setup()

project = "yourlabs"
author = "The yourlabs authors"
copyright = author  # noqa: A001
version = release = "2.0.0"

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
nitpicky = False
highlight_language = "python"

autodoc_mock_imports = ["django_tasks_db"]  # needs an app of its own
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True

html_theme = "furo"
html_title = "yourlabs"

# What a command prints needs no button; what a reader types is copied without a prompt.
copybutton_selector = "div:not(.highlight-text) > div.highlight > pre"
copybutton_prompt_text = "$ "
