"""The program of the webapp: its settings, database and socket, and the end by a signal."""

import asyncio
import logging
import signal
import sys

from memicos_service import logs, server
from memicos_service.connections.settings import limits_or_exit
from memicos_service.variable_names import warn_of_environment

from memicos_webapp.app import create_app
from memicos_webapp.database.embedded import database_url
from memicos_webapp.database.errors import DatabaseError
from memicos_webapp.database.migrate import prepare
from memicos_webapp.settings import Settings, read

log = logging.getLogger("memicos_webapp")


LIBRARY_LEVELS = {"alembic": logging.WARNING, "httpx": logging.WARNING}


def main() -> None:
    settings = read("webapp")
    logs.configure(settings.log_format, logging.INFO, LIBRARY_LEVELS)
    warn_of_environment(log, Settings)
    limits = limits_or_exit("webapp", settings)
    listener = server.bind(
        settings.host,
        settings.port,
        program="webapp",
        variables=("MEMICOS_PORT", "MEMICOS_HOST"),
    )
    # a shell sets it to be ignored in programs that it starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # exit through the `with` below, which stops PostgreSQL
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        # opened here, so that a database error is one line; the application uses the running one
        with database_url(settings) as url:
            asyncio.run(prepare(url, settings.read_only))
            settings = settings.model_copy(update={"database_url": url})
            config = server.server_config(create_app(settings), graceful_seconds=5, limits=limits)
            log.info("http://%s:%d", settings.host, settings.port)
            server.run(server.Server(config), listener)
    except DatabaseError as error:
        sys.exit(f"webapp: {error}")
    except KeyboardInterrupt:
        sys.exit(0)
