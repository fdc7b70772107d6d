"""A worker: a model and its sources, which run shards of the corpus and write the files of sources."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from memicos_engine.model.language_model import LanguageModel
from threadpoolctl import threadpool_limits

from memicos_pipeline.config import ConfigError, GenerateConfig
from memicos_pipeline.corpus.contexts import Contexts
from memicos_pipeline.earlier_runs import FinishedSource
from memicos_pipeline.execution.stored_contexts import read_contexts
from memicos_pipeline.execution.tasks import ShardTask, Task, TaskResult, WorkerPlan
from memicos_pipeline.harvest import ShardShape, run_shard, write_shard
from memicos_pipeline.preparation import load_language_model, select_and_load
from memicos_pipeline.progress import Progress
from memicos_pipeline.selected_sources import SelectedSource
from memicos_pipeline.source_files import SourceWriter
from memicos_pipeline.work_folder import work_folder


class Worker:
    """Runs tasks with a loaded model; activations are in the folder `work`, files of sources in `folder`."""

    def __init__(
        self,
        config: GenerateConfig,
        model: LanguageModel,
        selected: Sequence[SelectedSource],
        contexts: Contexts,
        work: Path,
        folder: Path,
        progress: Progress,
    ) -> None:
        self._config, self._model, self._contexts = config, model, contexts
        self._work, self._folder, self._progress = work, folder, progress
        self._selected = {item.source.id: item for item in selected}
        self._shape = shard_shape(config)
        self._ranges = self._shape.ranges(len(contexts.token_ids))
        self._writer: SourceWriter | None = None

    def run_shard(self, number: int, on_contexts: Callable[[int], None] = lambda count: None) -> None:
        """Store the activations of every source on shard `number`; `on_contexts` is called as `harvest.run_shard`'s."""
        first, end = self._ranges[number]
        sources = [item.source for item in self._selected.values()]
        token_ids = self._contexts.token_ids[first:end]
        activations = run_shard(self._model, sources, token_ids, self._shape.batch, on_contexts)
        for source_id, of_source in activations.items():
            write_shard(self._work / source_id, number, of_source)

    def write_source(self, source_id: str) -> FinishedSource:
        """Write the files of a source from its stored activations."""
        if self._writer is None:
            strings = self._model.single_token_strings(range(self._model.d_vocab))
            self._writer = SourceWriter(
                self._config, self._model, self._contexts, strings, self._work, self._folder, self._progress
            )
        return self._writer.write(self._selected[source_id])


class PlannedWorker:
    """A worker in a process of its own, which loads everything that `plan` names when it gets its first task.

    `number` tells the workers of a machine apart: each takes a CUDA device of its own, as far as there are any.
    """

    def __init__(self, plan: WorkerPlan, number: int = 0) -> None:
        self._plan, self._number = plan, number
        self._lines: list[str] = []
        self._worker: Worker | None = None

    def run(self, task: Task) -> TaskResult:
        """Raises: as `prepare`, where model, sources or contexts are not those of the main process."""
        with number_of_threads(self._plan.threads):
            if self._worker is None:
                self._worker = self._load()
            self._lines.clear()
            source = None
            if isinstance(task, ShardTask):
                self._worker.run_shard(task.number)
            else:
                source = self._worker.write_source(task.source_id)
            return TaskResult(task, source, list(self._lines))

    def _load(self) -> Worker:
        plan = self._plan
        os.chdir(plan.directory)
        device = worker_device(plan.config.model.device, self._number)
        config = plan.config.model_copy(update={"model": plan.config.model.model_copy(update={"device": device})})
        model = load_language_model(config)
        selected = select_and_load(config, model)
        contexts = read_contexts(plan.work)
        sources = [item.source for item in selected]
        found = work_folder(plan.work.parent, model.hf, sources, contexts.token_ids, shard_shape(config))
        if found.name != plan.work.name:
            raise ConfigError(
                "a worker loaded another model, other sources or other texts than the main process: they were changed "
                "during the run, or differ between the machines; run the command again"
            )
        # lines of stages are the main process's
        progress = Progress(self._lines.append, threading.TIMEOUT_MAX)
        return Worker(config, model, selected, contexts, plan.work, plan.folder, progress)


def shard_shape(config: GenerateConfig) -> ShardShape:
    return ShardShape(config.execution.shard_contexts, config.execution.batch_contexts)


def worker_device(device: str, number: int) -> str:
    """The device of worker `number`: `cuda` is a device for each worker, as far as the machine has any."""
    return f"cuda:{number % torch.cuda.device_count()}" if device == "cuda" and torch.cuda.device_count() else device


@contextmanager
def number_of_threads(threads: int) -> Iterator[None]:
    """Compute with `threads` threads in PyTorch and in numpy's matrix products, on which sums of floats depend."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)
