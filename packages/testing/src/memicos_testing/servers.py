"""Real servers on free loopback ports, for tests."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Literal

import httpx
import uvicorn
from memicos_service.connections.limited_connection import LimitedConfig
from memicos_service.connections.send_watch import limit_unsent_bytes
from memicos_service.connections.settings import ConnectionSettings
from starlette.types import ASGIApp

Serve = Callable[..., Awaitable[str]]
"""Starts a server with the given settings and returns its URL."""

Start = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
"""Starts an application over a database with the given settings and returns its client."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@asynccontextmanager
async def running(
    app: ASGIApp,
    lifespan: Literal["auto", "off"] = "auto",
    limits: ConnectionSettings | None = None,
    graceful_seconds: int = 5,
) -> AsyncIterator[str]:
    """Serve `app` in this event loop; yield its URL when it has started, and stop it afterwards.

    `lifespan` is off for an application that is already started; `limits` are those of connections,
    and `graceful_seconds` how long it waits for requests when it stops.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        limit_unsent_bytes(listener)
        config = LimitedConfig(
            app,
            limits or ConnectionSettings(),
            lifespan=lifespan,
            log_config=None,
            proxy_headers=False,
            timeout_graceful_shutdown=graceful_seconds,
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not server.started:
                if task.done():
                    await task
                    raise RuntimeError("the server ended before it had started")
                await asyncio.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


@contextmanager
def in_thread(app: ASGIApp) -> Iterator[str]:
    """Serve `app` on a free port in a separate event loop, for tests with blocking calls."""
    url, started, end = "", threading.Event(), asyncio.Event()

    async def serve() -> None:
        nonlocal url
        async with running(app) as url:
            started.set()
            await end.wait()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(30)
    yield url
    loop.call_soon_threadsafe(end.set)
    thread.join(30)
