"""The project for ASGI servers; `living` has its chains bound to the lifespan."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

from yourlabs.runner.asgi import lifespan

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

application = get_asgi_application()
living = lifespan(application)
