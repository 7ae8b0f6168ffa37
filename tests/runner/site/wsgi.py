"""The project for servers that speak WSGI."""

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
