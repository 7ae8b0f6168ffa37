"""
Stop the chains of an ASGI server that runs no exit hook.

uvicorn ends by the default action of the signal that stopped it, so no exit hook of
Python runs. But it sends an application the end of its "lifespan", which Django's
handler does not know; hence the wrapper.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from yourlabs.runner.autostart import attach as hosts

Application = Callable[[Any, Any, Any], Awaitable[None]]


def lifespan(application: Application) -> Application:
    """
    Return `application` with the chains bound to its server's lifespan.

    At the server's start, chains that wait for a proof that it serves are started; at
    its end they are stopped, with the wait that `STOP_TIMEOUT` bounds. Requests are
    passed on as they are.

    In ``asgi.py``: ``application = lifespan(get_asgi_application())``.

    Args:
        application: An ASGI application that does not handle the lifespan itself.
    """

    async def with_lifespan(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await application(scope, receive, send)
            return
        await receive()  # lifespan.startup
        hosts.serving()
        await send({"type": "lifespan.startup.complete"})
        await receive()  # lifespan.shutdown
        # Beside the event loop: a task may need the loop to end.
        await asyncio.to_thread(hosts.leave)
        await send({"type": "lifespan.shutdown.complete"})

    return with_lifespan
