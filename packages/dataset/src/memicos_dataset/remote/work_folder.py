"""The folder in which a dataset is converted before it is put to a URL."""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder

DEFAULT_WORK = Path(".memicos-publish")
"""Folder of conversions, in the working folder."""


@contextmanager
def work_folder(dataset: Folder, to: Folder, parent: Path) -> Iterator[Path]:
    """The folder below `parent` of this dataset and this target; it is deleted when all is done, and not before.

    Raises:
        DatasetError: another process uses it.
    """
    origin = dataset.root.resolve() if isinstance(dataset.root, Path) else dataset.root
    work = parent / hashlib.sha256(f"{origin}\n{to}".encode()).hexdigest()[:16]
    parent.mkdir(parents=True, exist_ok=True)
    lock_file = work.with_suffix(".lock")
    lock = FileLock(lock_file, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise DatasetError(dataset.root, f"another command sends it to {to}; wait for its end") from None
    try:
        work.mkdir(exist_ok=True)
        yield work
        shutil.rmtree(work)
        # while it is held: a command that opened the file before sees that it is gone, and makes a new one
        lock_file.unlink(missing_ok=True)
    finally:
        lock.release()
    with suppress(OSError):
        # another command uses the folder too
        parent.rmdir()
