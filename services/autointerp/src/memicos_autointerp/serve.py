"""The program of autointerp: command line, settings, socket."""

import argparse
import logging
import sys
from pathlib import Path

from memicos_autointerp_core.providers.profile import ProfileError
from memicos_service import logs, server
from memicos_service.connections.settings import limits_or_exit
from memicos_service.settings import read_or_exit
from memicos_service.variable_names import warn_of_environment

from memicos_autointerp.settings import Settings

log = logging.getLogger("memicos_autointerp")

LIBRARY_LEVELS = {"httpx2": logging.WARNING, "httpcore2": logging.WARNING, "openai": logging.WARNING}


def _warn_if_open(settings: Settings) -> None:
    if not server.is_loopback(settings.host) and settings.secret is None and settings.api_key is not None:
        log.warning(
            "every client that can connect to %s is served with this server's key: set AUTOINTERP_SECRET", settings.host
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="memicos_autointerp", description="Serves explanations of features by a language model."
    )
    parser.add_argument("--env-file", type=Path, help="settings for what the environment does not set")
    settings = read_or_exit("autointerp", Settings, parser.parse_args().env_file)
    logs.configure(settings.log_format, logging.INFO, LIBRARY_LEVELS)
    warn_of_environment(log, Settings)
    try:
        settings.read_profiles()
    except ProfileError as error:
        sys.exit(f"autointerp: {error}")
    limits = limits_or_exit("autointerp", settings)
    listener = server.bind(
        settings.host,
        settings.port,
        program="autointerp",
        variables=("AUTOINTERP_PORT", "AUTOINTERP_HOST"),
    )
    # not above: it loads the openai library, and what is wrong so far is said without
    from memicos_autointerp.app import create_app

    log.info("http://%s:%d", settings.host, settings.port)
    _warn_if_open(settings)
    server.run(server.Server(server.server_config(create_app(settings), graceful_seconds=5, limits=limits)), listener)
