"""`python -m memicos_inference [--env-file FILE] [--self-test | --list-configs]`.

Serve; prove the numbers of what would be served; list the known env files.
"""

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
import uvicorn
from memicos_engine.errors import LoadError
from pydantic import ValidationError

from memicos_inference import loading
from memicos_inference.app import create_app
from memicos_inference.settings import Settings, read
from memicos_inference.verification import HEADING, Verification, line

CONFIGS = ".env.inference."

log = logging.getLogger("memicos_inference")


def _configs(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{CONFIGS}*"))


def _list(folder: Path) -> None:
    """Each known config with the first line of its comment."""
    for file in _configs(folder):
        first = file.read_text(encoding="utf-8").partition("\n")[0]
        print(f"{file.name.removeprefix(CONFIGS):<60} {first.lstrip('# ')}")  # noqa: T201


def _settings(env_file: Path | None) -> Settings:
    """Ends the program with one line where they cannot be used."""
    if env_file and not env_file.is_file():
        known = [file.name.removeprefix(CONFIGS) for file in _configs(env_file.parent)]
        listed = f" Known there: {', '.join(known)}." if known and env_file.name.startswith(CONFIGS) else ""
        sys.exit(f"inference: there is no env file {env_file}.{listed}")
    try:
        settings = read(env_file)
    except ValidationError as error:
        problem = error.errors(include_input=False)[0]
        sys.exit(f"inference: {problem['loc'][0]}: {problem['msg'].removeprefix('Value error, ')}.")
    except ValueError as error:
        sys.exit(f"inference: {error}.")
    if not (settings.model_id or settings.override_model_id or settings.custom_hf_model_id):
        sys.exit("inference: MODEL_ID is not set. Set it, or name a config by --env-file (--list-configs lists them).")
    return settings


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


def _self_test(settings: Settings) -> int:
    """Load what the settings name and check everything, line by line. Gives 1 where a check failed, else 0."""
    try:
        served = loading.load(settings, lambda words, _share: log.info("%s", words))
    except LoadError as error:
        sys.exit(f"inference: {error}")
    verification = Verification(settings)
    print(HEADING)  # noqa: T201
    verification.run_full(served, lambda check: print(line(check), flush=True))  # noqa: T201
    failed = len(verification.failed)
    print(f"{failed} failed." if failed else "Nothing failed.")  # noqa: T201
    return 1 if failed else 0


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
    parser.add_argument("--self-test", action="store_true", help="check the numbers instead; status 1 on a failure")
    parser.add_argument("--list-configs", action="store_true", help=f"list the {CONFIGS}* of this folder")
    arguments = parser.parse_args()
    if arguments.list_configs:
        return _list(Path())
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.captureWarnings(True)
    for noisy in ("httpx2", "httpcore2", "transformer_lens", "sae_lens"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    settings = _settings(arguments.env_file)
    if arguments.self_test:
        sys.exit(_self_test(settings))
    listener = _listen(settings.host, settings.port)
    log.info("http://%s:%d", settings.host, settings.port)
    _warn_if_open(settings)
    config = uvicorn.Config(create_app(settings), log_level="warning", timeout_graceful_shutdown=5)
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])
    # the model's thread may be inside torch, which does not bear being taken down around it
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
