"""What workers are given and give back. All of it is small: arrays are in the files of the work folder."""

from dataclasses import dataclass
from pathlib import Path

from memicos_pipeline.config import GenerateConfig
from memicos_pipeline.earlier_runs import FinishedSource


@dataclass(frozen=True)
class ShardTask:
    """Run the contexts of shard `number` through the model and store the activations of every source."""

    number: int

    def __str__(self) -> str:
        return f"shard {self.number}"


@dataclass(frozen=True)
class SourceTask:
    """Write the files of a source from the stored activations."""

    source_id: str

    def __str__(self) -> str:
        return f"source {self.source_id}"


Task = ShardTask | SourceTask


@dataclass(frozen=True)
class TaskResult:
    """`source` is the entry of a `SourceTask`, `lines` are those that the worker reported."""

    task: Task
    source: FinishedSource | None
    lines: list[str]


@dataclass(frozen=True)
class WorkerPlan:
    """What a worker needs to load model and sources as the main process has.

    Attributes:
        config: the complete configuration; its relative paths are relative to `directory`.
        work: the work folder, with the contexts; its name is a hash of model, sources and contexts.
        folder: the folder of the dataset that is being written.
        threads: threads of PyTorch and of numpy's matrix products.
    """

    config: GenerateConfig
    directory: Path
    work: Path
    folder: Path
    threads: int
