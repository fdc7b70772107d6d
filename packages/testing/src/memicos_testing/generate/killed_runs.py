"""Runs `memicos generate` in processes that are killed with SIGKILL."""

import multiprocessing
import random
import time
from pathlib import Path

from memicos_dataset.read import read_manifest
from memicos_pipeline.config import GenerateConfig

# torch is imported once: every run is a fork of this server
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["memicos_pipeline.generate"])


def run(config: GenerateConfig, kill_after: float | None = None) -> tuple[bool, float]:
    """Generate in a process of its own and kill it after `kill_after` seconds.

    Returns whether it ended by itself, and its seconds.

    Raises:
        AssertionError: it ended with an error.
    """
    started_at = time.monotonic()
    process = _PROCESSES.Process(target=_generate, args=(config.model_dump_json(),))
    process.start()
    process.join(kill_after)
    process.kill()
    process.join()
    assert process.exitcode in (0, -9), f"generate ended with status {process.exitcode}"
    return process.exitcode == 0, time.monotonic() - started_at


def kill_at_random_moments(config: GenerateConfig, seconds: float, generator: random.Random, kills: int) -> int:
    """Start the same run `kills` times and kill it at random moments of `seconds`, then let it end.

    Returns how often a run was killed rather than ended before.
    """
    killed = sum(not run(config, generator.uniform(0.05, seconds))[0] for _ in range(kills))
    run(config)
    return killed


def contents(config: GenerateConfig) -> dict[str, str]:
    """The sha256 of each file of the dataset."""
    return {entry.path: entry.sha256 for entry in read_manifest(config.out).files()}


def leftovers(config: GenerateConfig) -> list[str]:
    """Files beside the dataset that a killed run left and the last one did not remove."""
    places: tuple[Path, ...] = (config.out.parent, config.work)
    names = [name for place in places for name in sorted(path.name for path in place.iterdir())]
    return [name for name in names if name.endswith((".new", ".old", ".sqlite"))]


def _generate(config: str) -> None:
    from memicos_pipeline.generate import generate

    generate(GenerateConfig.model_validate_json(config), lambda line: None)
