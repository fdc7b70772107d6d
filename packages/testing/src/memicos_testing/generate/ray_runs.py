"""Runs `memicos generate` of a small model and two sources on Ray."""

from collections.abc import Callable
from pathlib import Path

import psutil
from memicos_dataset.read import read_manifest, verify
from memicos_pipeline.config import ExecutionConfig, GenerateConfig
from memicos_pipeline.generate import generate
from memicos_pipeline.progress import Progress

from memicos_testing.models.small_model import small_model, small_sae
from memicos_testing.models.tiny_generate import tiny_config
from memicos_testing.processes import processes_below

SHARDS, CONTEXTS_OF_SHARD = 6, 4


def local_run(folder: Path) -> GenerateConfig:
    """A configuration whose dataset this process has made."""
    sources = ("1-res", "2-res")
    small_model(folder / "model")
    for layer, name in enumerate(sources, 1):
        small_sae(folder / "saes" / name, layer, 48, seed=layer)
    config = tiny_config(folder, sources, 32, CONTEXTS_OF_SHARD * SHARDS)
    config.execution = ExecutionConfig(shard_contexts=CONTEXTS_OF_SHARD, batch_contexts=2, threads=1)
    generate(config, lambda line: None)
    return config


def ray_run(
    config: GenerateConfig, folder: Path, workers: int, at_first_shard: Callable[[], object] = lambda: None
) -> GenerateConfig:
    """The same run in another folder with `workers` actors; `at_first_shard` is called when a first shard is done.

    Raises:
        AssertionError: it was not called, or this process is in another working folder than before.
    """
    execution = config.execution.model_copy(update={"workers": workers, "executor": "ray"})
    again = config.model_copy(update={"out": folder / "out", "work": folder / "work", "execution": execution})
    called: list[str] = []

    def report(line: str) -> None:
        if not called and line.startswith(f"activations: {CONTEXTS_OF_SHARD} of"):
            called.append(line)
            at_first_shard()

    before = Path.cwd()
    generate(again, Progress(report, every_seconds=0))
    assert called and Path.cwd() == before
    return again


def kill_an_actor() -> None:
    """Raises IndexError where there is none."""
    actors()[0].kill()


def contents(config: GenerateConfig) -> dict[str, bytes]:
    verify(config.out, read_manifest(config.out))
    return {str(path.relative_to(config.out)): path.read_bytes() for path in config.out.rglob("*") if path.is_file()}


def processes_of_ray() -> list[psutil.Process]:
    """The programs of a local cluster, beside programs that other tests have started."""
    return processes_below(psutil.Process(), "ray::", "/site-packages/ray/")


def actors() -> list[psutil.Process]:
    """The processes of Ray's actors, which Ray names by their class and method."""
    return processes_below(psutil.Process(), "ray::PlannedWorker")


def listening_addresses() -> set[str]:
    """The addresses at which Ray's programs and this process listen."""
    listening = [
        connection
        for process in [psutil.Process(), *processes_of_ray()]
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    return {connection.laddr.ip.removeprefix("::ffff:") for connection in listening}
