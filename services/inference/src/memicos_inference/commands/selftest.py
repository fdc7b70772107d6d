"""`memicos selftest`: check every number of a model and its sources in the terminal."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer
from memicos_engine.errors import LoadError

from memicos_inference import env_files, logs, model_loading
from memicos_inference.settings import Settings
from memicos_inference.verification.state import Verification
from memicos_inference.verification.table import HEADING, table_line

log = logging.getLogger("memicos_inference")


def selftest(
    env_file: Annotated[
        Path | None, typer.Option(help="inference's settings, for example .env.inference.smollm2-135m-it.res-4k")
    ] = None,
) -> None:
    """Verify the numbers of a model and its sources: embedding, blocks, unembedding, batch, cache, weights, sources.

    Loads what inference would serve with these settings and computes each number in two ways. Exit status 1 if a check
    failed or a source cannot be served. docs/inference.md describes the checks.
    """
    logs.configure("text", logging.INFO)
    settings = env_files.server_settings(env_file)
    logs.configure(settings.log_format, logging.INFO)
    raise typer.Exit(run(settings))


def run(settings: Settings) -> int:
    """Load the model of `settings` and print one line per check.

    Exit status: 1 if a check failed or a source cannot be served, else 0.

    Raises:
        SystemExit: the model cannot be loaded.
    """
    try:
        loaded = model_loading.load_model(settings, lambda text, _share: log.info("%s", text))
    except LoadError as error:
        sys.exit(f"inference: {error}")
    verification = Verification(settings)
    print(HEADING)
    verification.run_full(loaded, lambda check: print(table_line(check), flush=True))
    failed = len(verification.failed)
    print(f"{failed} failed." if failed else "Nothing failed.")
    unavailable = loaded.source_cache.unavailable
    for source_id, reason in unavailable.items():
        print(f"{source_id} cannot be served: {reason}")
    return 1 if failed or unavailable else 0
