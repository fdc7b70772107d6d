"""The lock of a dataset that is written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from memicos_pipeline.config import ConfigError


@contextmanager
def lock_dataset(folder: Path) -> Iterator[None]:
    """Hold the lock of the dataset that is written to `folder`. Raises ConfigError where another process holds it.

    The lock's file is beside the folder, which is replaced as a whole.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with hold_lock(
        folder.with_name(f".{folder.name}.lock"),
        f"another `memicos generate`, `score` or `explain` is writing {folder}: wait until it ends, or use "
        "another folder",
    ):
        yield


@contextmanager
def hold_lock(path: Path, message: str) -> Iterator[None]:
    """Hold the lock file `path`; the system releases the lock of a process that is killed."""
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ConfigError(message) from error
    try:
        yield
    finally:
        lock.release()
