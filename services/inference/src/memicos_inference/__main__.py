"""`python -m memicos_inference [--env-file FILE] [--self-test | --list-configs]`, `sae add SPEC`, `model check ID`.

Serve; prove the numbers of what would be served; list the known env files; and the programs in `commands/`.
"""

import argparse
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path

from memicos_engine.errors import LoadError
from memicos_service import logs
from memicos_service.server import bind, is_loopback

from memicos_inference import env_files, model_loading
from memicos_inference.app import create_app
from memicos_inference.commands import model_check, sae_add
from memicos_inference.http import server
from memicos_inference.settings import Settings
from memicos_inference.verification import HEADING, Verification, line

log = logging.getLogger("memicos_inference")

LIBRARY_LEVELS = dict.fromkeys(["httpx2", "httpcore2", "transformer_lens", "sae_lens"], logging.WARNING)


def _settings(env_file: Path | None) -> Settings:
    """Ends the program with one line where they cannot be used."""
    settings = env_files.settings_of(env_file)
    if not settings.models.configured:
        sys.exit("inference: MODEL_ID is not set. Set it, or name a config by --env-file (--list-configs lists them).")
    return settings


def _self_test(settings: Settings) -> int:
    """Load what the settings name and check everything, line by line. Gives 1 where a check failed, else 0."""
    try:
        served = model_loading.load_model(settings, lambda words, _share: log.info("%s", words))
    except LoadError as error:
        sys.exit(f"inference: {error}")
    verification = Verification(settings)
    print(HEADING)  # noqa: T201
    verification.run_full(served, lambda check: print(line(check), flush=True))  # noqa: T201
    failed = len(verification.failed)
    print(f"{failed} failed." if failed else "Nothing failed.")  # noqa: T201
    return 1 if failed else 0


def _warn_if_open(settings: Settings) -> None:
    if not is_loopback(settings.host) and settings.secret is None:
        log.warning("open to whoever reaches %s: set INFERENCE_SECRET", settings.host)


def main() -> None:
    parser = argparse.ArgumentParser(prog="memicos_inference", description="Serves a language model and its SAEs.")
    parser.add_argument("--env-file", type=Path, help="settings for what the environment does not set")
    parser.add_argument("--self-test", action="store_true", help="check the numbers instead; status 1 on a failure")
    parser.add_argument("--list-configs", action="store_true", help=f"list the {env_files.PREFIX}* of this folder")
    commands = parser.add_subparsers(title="instead of serving", metavar="COMMAND")
    sae_add.define(commands)
    model_check.define(commands)
    arguments = parser.parse_args()
    if arguments.list_configs:
        return env_files.show(Path())
    if run := vars(arguments).get("run"):
        logs.configure("text", logging.CRITICAL, LIBRARY_LEVELS)  # these commands print their errors themselves
        sys.exit(run(arguments))
    logs.configure("text", logging.INFO, LIBRARY_LEVELS)
    settings = _settings(arguments.env_file)
    logs.configure(settings.log_format, logging.INFO, LIBRARY_LEVELS)
    if arguments.self_test:
        sys.exit(_self_test(settings))
    listener = bind(
        settings.host,
        settings.port,
        program="inference",
        variables=("INFERENCE_PORT", "INFERENCE_HOST"),
        listen=True,
    )
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
