"""`python -m memicos_webapp`: serve pages and API."""

import asyncio
import logging
import signal
import socket
import sys
from contextlib import nullcontext

import uvicorn

from memicos_webapp import logs
from memicos_webapp.app import create_app
from memicos_webapp.database.embedded import DatabaseError, embedded
from memicos_webapp.database.migrate import migrate
from memicos_webapp.settings import read

log = logging.getLogger("memicos_webapp")


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket; ends the program with one line where the port is taken or the address is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off, 40 ms an answer, only where the protocol is named
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        sys.exit(f"webapp: cannot listen on {host}:{port}: {error.strerror}. Set MEMICOS_PORT or MEMICOS_HOST.")
    return listener


def main() -> None:
    settings = read("webapp")
    logs.set_up(settings.log_format, logging.INFO)
    listener = _listen(settings.host, settings.port)
    # uvicorn raises the signal again when it has shut down: leave by way of the `with` below
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    url = settings.database_url
    try:
        # opened here, so that what is wrong with it is one line; the application finds it running
        with nullcontext(url) if url else embedded(settings.data / "postgres") as url:
            asyncio.run(migrate(url))
            settings = settings.model_copy(update={"database_url": url})
            # its own log settings would take its lines away from ours; requests have lines in request_log
            config = uvicorn.Config(
                create_app(settings),
                log_config=None,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=5,
            )
            log.info("http://%s:%d", settings.host, settings.port)
            uvicorn.Server(config).run(sockets=[listener])
    except DatabaseError as error:
        sys.exit(f"webapp: {error}")
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
