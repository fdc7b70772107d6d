"""The program of inference: command line, settings, socket."""

import argparse
import logging
import os
import sys
from pathlib import Path

from memicos_service.connections.settings import limits_or_exit
from memicos_service.server import bind, is_loopback, run
from memicos_service.variable_names import warn_of_environment

from memicos_inference import env_files, logs
from memicos_inference.app import create_app
from memicos_inference.http import server
from memicos_inference.settings import Settings

log = logging.getLogger("memicos_inference")


def _warn_if_open(settings: Settings) -> None:
    if not is_loopback(settings.host) and settings.secret is None:
        log.warning("every client that can connect to %s is served: set INFERENCE_SECRET", settings.host)


def main() -> None:
    parser = argparse.ArgumentParser(prog="memicos_inference", description="Serves a language model and its SAEs.")
    parser.add_argument("--env-file", type=Path, help="settings for what the environment does not set")
    parser.add_argument("--list-configs", action="store_true", help=f"list the {env_files.PREFIX}* of this folder")
    arguments = parser.parse_args()
    if arguments.list_configs:
        return env_files.show(Path())
    logs.configure("text", logging.INFO)
    settings = env_files.server_settings(arguments.env_file)
    logs.configure(settings.log_format, logging.INFO)
    warn_of_environment(log, Settings)
    limits = limits_or_exit("inference", settings)
    listener = bind(
        settings.host,
        settings.port,
        program="inference",
        variables=("INFERENCE_PORT", "INFERENCE_HOST"),
        backlog=settings.backlog,
    )
    log.info("http://%s:%d", settings.host, settings.port)
    _warn_if_open(settings)
    run(server.Server(create_app(settings), limits), listener)
    # torch may crash when the interpreter shuts down while the model's thread runs it
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
