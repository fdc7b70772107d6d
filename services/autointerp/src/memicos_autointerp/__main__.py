"""`python -m memicos_autointerp [--env-file FILE]`: serve."""

import argparse
import logging
import socket
import sys
from pathlib import Path

import uvicorn
from pydantic import ValidationError

from memicos_autointerp.app import create_app
from memicos_autointerp.settings import read

log = logging.getLogger("memicos_autointerp")


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket; ends the program with one line where the port is taken or the address is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off, 40 ms an answer, only where the protocol is named
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        sys.exit(
            f"autointerp: cannot listen on {host}:{port}: {error.strerror}. Set AUTOINTERP_PORT or AUTOINTERP_HOST."
        )
    return listener


def main() -> None:
    parser = argparse.ArgumentParser(prog="memicos_autointerp", description="Explains features in words.")
    parser.add_argument("--env-file", type=Path, help="settings for what the environment does not set")
    env_file: Path | None = parser.parse_args().env_file
    if env_file and not env_file.is_file():
        sys.exit(f"autointerp: there is no env file {env_file}.")
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for noisy in ("httpx2", "httpcore2", "openai"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        settings = read(env_file)
    except ValidationError as error:
        problem = error.errors(include_input=False)[0]
        name = str(problem["loc"][0]).upper().removeprefix("AUTOINTERP_")
        sys.exit(f"autointerp: AUTOINTERP_{name}: {problem['msg'].removeprefix('Value error, ')}.")
    except ValueError as error:
        sys.exit(f"autointerp: {error}.")
    listener = _listen(settings.host, settings.port)
    log.info("http://%s:%d", settings.host, settings.port)
    config = uvicorn.Config(create_app(settings), log_level="warning", timeout_graceful_shutdown=5)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
