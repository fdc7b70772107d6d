"""`python -m memicos_inference [--env-file FILE] [--list-configs]`: serve a model, or list the known env files."""

import argparse
import errno
import ipaddress
import logging
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from memicos_inference import env_files, logs
from memicos_inference.app import create_app
from memicos_inference.http import server
from memicos_inference.settings import Settings

log = logging.getLogger("memicos_inference")


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket; ends the program with one line where the port is taken or the address is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off, 40 ms an answer, only where the protocol is named
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        reason = f"it is held by {_holder(port)}" if error.errno == errno.EADDRINUSE else error.strerror
        sys.exit(f"inference: cannot listen on {host}:{port}: {reason}. Set INFERENCE_PORT or INFERENCE_HOST.")
    return listener


def _holder(port: int) -> str:
    """The process that listens on `port`, in words, as far as this user may see it."""
    try:
        for one in psutil.net_connections(kind="tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port and one.pid:
                command = " ".join(psutil.Process(one.pid).cmdline())
                return f"process {one.pid} ({command[:120]})"
    except psutil.Error:
        # macOS tells root only; or it has just ended
        pass
    return "another process"


def _warn_if_open(settings: Settings) -> None:
    try:
        loopback = ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        loopback = settings.host == "localhost"
    if not loopback and settings.secret is None:
        log.warning("open to whoever reaches %s: set INFERENCE_SECRET", settings.host)


def main() -> None:
    parser = argparse.ArgumentParser(prog="memicos_inference", description="Serves a language model and its SAEs.")
    parser.add_argument("--env-file", type=Path, help="settings for what the environment does not set")
    parser.add_argument("--list-configs", action="store_true", help=f"list the {env_files.PREFIX}* of this folder")
    arguments = parser.parse_args()
    if arguments.list_configs:
        return env_files.show(Path())
    logs.set_up("text", logging.INFO)
    settings = env_files.server_settings(arguments.env_file)
    logs.set_up(settings.log_format, logging.INFO)
    listener = _listen(settings.host, settings.port)
    log.info("http://%s:%d", settings.host, settings.port)
    _warn_if_open(settings)
    with suppress(KeyboardInterrupt):
        server.Server(create_app(settings)).run(sockets=[listener])
    # the model's thread may be inside torch, which does not bear being taken down around it
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
