"""The executors: they run all shards, and write the files of all sources."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import torch

from memicos_pipeline.config import GenerateConfig
from memicos_pipeline.earlier_runs import FinishedSource
from memicos_pipeline.execution.processes import ProcessPool
from memicos_pipeline.execution.ray_environment import check_cluster, prepare_environment, require_ray
from memicos_pipeline.execution.stored_contexts import store_contexts
from memicos_pipeline.execution.tasks import ShardTask, SourceTask, Task, TaskResult, WorkerPlan
from memicos_pipeline.execution.worker import Worker, shard_shape
from memicos_pipeline.preparation import GenerateInputs
from memicos_pipeline.progress import Progress


def check_executor(config: GenerateConfig) -> None:
    """
    Raises:
        ConfigError: Ray is named, and not installed, or RAY_ADDRESS names no cluster.
    """
    if config.execution.executor == "ray":
        require_ray("execution.executor")
        check_cluster()


class Executor(Protocol):
    """Runs tasks. What they write depends neither on the executor nor on the number of its workers."""

    def run_shards(self, numbers: Sequence[int], done: Callable[[int], None]) -> None:
        """Run the shards `numbers`; `done` is called with numbers of contexts."""
        ...

    def write_sources(self, source_ids: Sequence[str]) -> Iterator[FinishedSource]:
        """Write the files of sources; the entries come in any order."""
        ...


class InProcess:
    """The executor of one worker, the process itself."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def run_shards(self, numbers: Sequence[int], done: Callable[[int], None]) -> None:
        for number in numbers:
            self._worker.run_shard(number, done)

    def write_sources(self, source_ids: Sequence[str]) -> Iterator[FinishedSource]:
        for source_id in source_ids:
            yield self._worker.write_source(source_id)


class WorkerPool(Protocol):
    """Workers in other processes."""

    def run(self, tasks: Sequence[Task]) -> Iterator[TaskResult]:
        """Results of all tasks, in any order. A task whose worker is lost is run by another one.

        Raises:
            WorkerError: a task lost its worker more than `execution.attempts` times, or a worker failed.
        """
        ...


class Distributed:
    """The executor of several workers, which are in `pool`."""

    def __init__(self, pool: WorkerPool, ranges: Sequence[tuple[int, int]], progress: Progress) -> None:
        self._pool, self._ranges, self._progress = pool, ranges, progress

    def run_shards(self, numbers: Sequence[int], done: Callable[[int], None]) -> None:
        for result in self._pool.run([ShardTask(number) for number in numbers]):
            assert isinstance(result.task, ShardTask)
            first, end = self._ranges[result.task.number]
            done(end - first)

    def write_sources(self, source_ids: Sequence[str]) -> Iterator[FinishedSource]:
        if not source_ids:
            return
        with self._progress.stage("files of sources", len(source_ids), "sources") as stage:
            for result in self._pool.run([SourceTask(source_id) for source_id in source_ids]):
                assert result.source is not None
                for line in result.lines:
                    self._progress(line)
                stage.advance(1)
                yield result.source


@contextmanager
def open_executor(
    config: GenerateConfig, inputs: GenerateInputs, work: Path, folder: Path, progress: Progress
) -> Iterator[Executor]:
    """The executor that `config.execution` names; activations are in `work`, the dataset's files in `folder`."""
    execution, contexts = config.execution, inputs.contexts
    if execution.executor == "local" and execution.workers == 1:
        yield InProcess(Worker(config, inputs.model, inputs.selected, contexts, work, folder, progress))
        return
    store_contexts(work, contexts)
    plan = WorkerPlan(config, Path.cwd(), work.absolute(), folder.absolute(), torch.get_num_threads())
    with _pool(plan) as pool:
        yield Distributed(pool, shard_shape(config).ranges(len(contexts.token_ids)), progress)


def _pool(plan: WorkerPlan) -> AbstractContextManager[WorkerPool]:
    execution = plan.config.execution
    if execution.executor == "local":
        return ProcessPool(plan, execution.workers, execution.attempts)
    prepare_environment()
    from memicos_pipeline.execution.ray_pool import RayPool

    return RayPool(plan, execution.workers, execution.attempts)
