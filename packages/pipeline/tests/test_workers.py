"""The bytes of a dataset depend neither on the number of workers, nor on where they run, nor on the loss of one."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from memicos_dataset.read import read_manifest, verify
from memicos_pipeline.config import ConfigError, ExecutionConfig, GenerateConfig
from memicos_pipeline.execution.errors import WorkerError
from memicos_pipeline.execution.processes import ProcessPool
from memicos_pipeline.execution.tasks import ShardTask, WorkerPlan
from memicos_pipeline.generate import generate
from memicos_pipeline.progress import Progress
from memicos_testing.models.small_model import small_model, small_sae
from memicos_testing.models.tiny_generate import tiny_config
from memicos_testing.processes import processes_below

SOURCES = ("1-res", "2-res", "3-res")
SHARDS = 6


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> GenerateConfig:
    """A configuration whose dataset one worker has made."""
    folder = tmp_path_factory.mktemp("workers")
    small_model(folder / "model")
    for layer, name in enumerate(SOURCES, 1):
        small_sae(folder / "saes" / name, layer, 48, seed=layer)
    config = tiny_config(folder, SOURCES, 32, 4 * SHARDS)
    config.execution = ExecutionConfig(shard_contexts=4, batch_contexts=2, threads=1)
    generate(config, lambda line: None)
    return config


def with_workers(config: GenerateConfig, folder: Path, workers: int) -> GenerateConfig:
    """The same run in another place. The texts are those of an equal path, so that only workers differ."""
    execution = config.execution.model_copy(update={"workers": workers})
    return config.model_copy(update={"out": folder / "out", "work": folder / "work", "execution": execution})


def contents(config: GenerateConfig) -> dict[str, bytes]:
    verify(config.out, read_manifest(config.out))
    return {str(p.relative_to(config.out)): p.read_bytes() for p in config.out.rglob("*") if p.is_file()}


def killed_after_a_shard(find: Callable[[], list[psutil.Process]]) -> tuple[Progress, list[int]]:
    """A progress that kills a worker when the first shard is done, and the ids of the killed process."""
    killed: list[int] = []

    def report(line: str) -> None:
        if line.startswith(f"activations: 4 of {4 * SHARDS} contexts") and not killed:
            worker = find()[0]
            killed.append(worker.pid)
            worker.kill()

    return Progress(report, every_seconds=0), killed


def worker_processes() -> list[psutil.Process]:
    """The children of the fork server. Programs that other tests have started are children of this process, too."""
    servers = processes_below(psutil.Process(), "forkserver")
    return [worker for server in servers for worker in processes_below(server, "")]


@contextmanager
def all_gone(find: Callable[[], list[psutil.Process]]) -> Iterator[None]:
    """Workers end with the run."""
    yield
    psutil.wait_procs(find(), timeout=20)
    assert find() == []


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 4])
def test_the_number_of_processes_changes_no_byte(config: GenerateConfig, tmp_path: Path, workers: int) -> None:
    again = with_workers(config, tmp_path, workers)
    with all_gone(worker_processes):
        generate(again, lambda line: None)
    assert contents(again) == contents(config)


@pytest.mark.slow
def test_the_task_of_a_killed_process_is_run_again(config: GenerateConfig, tmp_path: Path) -> None:
    again = with_workers(config, tmp_path, 2)
    progress, killed = killed_after_a_shard(worker_processes)
    with all_gone(worker_processes):
        generate(again, progress)
    assert len(killed) == 1
    assert contents(again) == contents(config)


@pytest.mark.slow
def test_a_task_that_always_loses_its_worker_ends_the_run(config: GenerateConfig, tmp_path: Path) -> None:
    plan = WorkerPlan(config, tmp_path, tmp_path / "nothing", tmp_path, 1)
    ended = threading.Event()

    def kill_all() -> None:
        while not ended.wait(0.02):
            for worker in worker_processes():
                worker.send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill_all)
    killer.start()
    try:
        with (
            ProcessPool(plan, 1, 1) as pool,
            pytest.raises(WorkerError, match="shard 3: its worker was killed 2 times"),
        ):
            list(pool.run([ShardTask(3)]))
    finally:
        ended.set()
        killer.join()


@pytest.mark.slow
def test_what_a_worker_refuses_ends_the_run_with_its_reason(config: GenerateConfig, tmp_path: Path) -> None:
    """Weights that change between the main process and a worker are noticed."""
    again = with_workers(config, tmp_path, 2)
    weights = config.source_set.folder / "2-res" / "sae_weights.safetensors"  # pyright: ignore[reportOptionalOperand]
    content = weights.read_bytes()

    def change(line: str) -> None:
        if line.startswith("activations in"):
            weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    try:
        with pytest.raises(ConfigError, match="a worker loaded another model, other sources or other texts"):
            generate(again, change)
    finally:
        weights.write_bytes(content)
    assert not again.out.exists()


def test_several_workers_need_a_number_of_threads() -> None:
    with pytest.raises(ValueError, match="need threads"):
        ExecutionConfig(workers=2)
