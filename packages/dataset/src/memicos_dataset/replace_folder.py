"""Replacing a dataset on disk: readers find the old dataset or the new one, and never a part of one.

Where the operating system can exchange two folders in one step (Linux, macOS), the new dataset and the old one change
places. Elsewhere two renames are needed; if the process is killed between them, `finish_interrupted` completes the
replacement.
"""

import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from memicos_dataset.manifest import FILE_NAME

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
"""Flag of Linux' renameat2."""
_RENAME_SWAP = 2
"""Flag of macOS' renamex_np."""
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)


def staging_folder(folder: Path) -> Path:
    """Where the next version of the dataset in `folder` is written: beside it, on the same file system."""
    return folder.with_name(f".{folder.name}.new")


def _previous_folder(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def replace_folder(folder: Path) -> None:
    """Put the complete dataset in `staging_folder(folder)` at `folder` and delete the one that was there.

    Raises:
        OSError: the file system refused; `folder` holds what it held, or `finish_interrupted` restores it.
    """
    staging, previous = staging_folder(folder), _previous_folder(folder)
    shutil.rmtree(previous, ignore_errors=True)
    if not folder.exists():
        staging.rename(folder)
    elif exchange_folders(staging, folder):
        shutil.rmtree(staging)
    else:
        folder.rename(previous)
        staging.rename(folder)
        shutil.rmtree(previous)


def finish_interrupted(folder: Path) -> bool:
    """Complete a replacement of `folder` that was killed between two renames; returns whether there was one.

    The new dataset is used if it is complete (its manifest, which is written last, is there), else the previous one.
    """
    if folder.exists():
        return False
    staging, previous = staging_folder(folder), _previous_folder(folder)
    # without a previous dataset, a folder beside it is an unfinished first run, not an interrupted replacement
    if not previous.exists():
        return False
    complete = staging if (staging / FILE_NAME).is_file() else previous
    complete.rename(folder)
    shutil.rmtree(previous, ignore_errors=True)
    return True


def exchange_folders(first: Path, second: Path) -> bool:
    """Swap two folders in one step; False where system or file system cannot, and nothing has changed.

    Raises:
        OSError: they cannot be renamed for another reason, such as missing permissions.
    """
    call = _exchange_call()
    if call is None:
        return False
    ctypes.set_errno(0)
    if call(os.fsencode(first), os.fsencode(second)) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(first), None, str(second))


def _exchange_call() -> Callable[[bytes, bytes], int] | None:
    """The C library's exchange of two paths; None where it has none."""
    library = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None
    if library is None:
        return None
    if sys.platform == "linux" and hasattr(library, "renameat2"):
        return lambda first, second: library.renameat2(_AT_FDCWD, first, _AT_FDCWD, second, _RENAME_EXCHANGE)
    if sys.platform == "darwin" and hasattr(library, "renamex_np"):
        return lambda first, second: library.renamex_np(first, second, _RENAME_SWAP)
    return None
