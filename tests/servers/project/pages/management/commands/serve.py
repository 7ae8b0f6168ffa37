"""A command of the project that serves it, with one server or another."""

from __future__ import annotations

import os
from typing import Any
from wsgiref.simple_server import make_server

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser


def waitress(port: int) -> None:
    import waitress
    from wsgi import application

    waitress.serve(application, host="127.0.0.1", port=port)


def standard_library(port: int) -> None:
    from wsgi import application

    make_server("127.0.0.1", port, application).serve_forever()


def fork(port: int) -> None:
    """Make the application, fork, and serve in the child."""
    from wsgi import application

    server = make_server("127.0.0.1", port, application)
    if os.fork() == 0:
        server.serve_forever()
    os.wait()


def gunicorn(port: int) -> None:
    from gunicorn.app.base import BaseApplication

    class Application(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            self.cfg.set("bind", f"127.0.0.1:{port}")
            self.cfg.set("workers", 2)
            self.cfg.set("preload_app", True)

        def load(self) -> Any:
            from wsgi import application

            return application

    Application().run()


def uvicorn(port: int) -> None:
    import uvicorn
    from asgi import application

    uvicorn.run(application, host="127.0.0.1", port=port)


def nested_runserver(port: int) -> None:
    call_command("runserver", f"127.0.0.1:{port}", use_reloader=False)


def daphne(port: int) -> None:
    from asgi import application
    from daphne.server import Server

    Server(application, endpoints=[f"tcp:port={port}:interface=127.0.0.1"]).run()


def granian(port: int) -> None:
    from granian import Granian

    Granian("wsgi:application", port=port, interface="wsgi", workers=2).serve()


def hypercorn(port: int) -> None:
    import asyncio

    from asgi import application
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    asyncio.run(serve(application, config))


SERVERS = {
    "runserver": nested_runserver,
    "daphne": daphne,
    "granian": granian,
    "hypercorn": hypercorn,
    "waitress": waitress,
    "standard-library": standard_library,
    "fork": fork,
    "gunicorn": gunicorn,
    "uvicorn": uvicorn,
}


class Command(BaseCommand):
    """Serve until the end."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("server", choices=SERVERS)
        parser.add_argument("port", type=int)

    def handle(self, *args: Any, server: str, port: int, **options: Any) -> None:
        SERVERS[server](port)
