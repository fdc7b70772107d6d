"""Datasets of other formats, converted to the native one in a folder of the job before they are imported.

The converter streams: it holds a batch of rows and the contexts' hashes, whatever the size of the source. A conversion
that is interrupted goes on after its last complete file (`memicos_dataset.conversion`).
"""

import asyncio
import errno
import hashlib
import logging
import os
import shutil
import tempfile
import threading
from pathlib import Path

from memicos_dataset.conversion.conversion_folder import Options
from memicos_dataset.conversion.native import to_native
from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder
from memicos_dataset.public_layout.metadata import MetadataOptions

from memicos_webapp.datasets.preview import ANYWAY, CONVERSION_FACTOR, Space, free_in, listed
from memicos_webapp.datasets.rejects import Rejects

log = logging.getLogger(__name__)

FULL = (errno.ENOSPC, errno.EDQUOT)


class _Stopped(Exception):
    """The import was cancelled while its thread converted."""


def work_folder(folder: Path, location: str, sources: tuple[str, ...]) -> Path:
    """The folder of the conversion of sources at a location."""
    name = "\n".join((location, *sources))
    return folder / hashlib.sha256(name.encode()).hexdigest()[:24]


async def convert(
    folder: Folder,
    out: Path,
    sources: tuple[str, ...],
    metadata: MetadataOptions,
    rejects: Rejects,
    ignore_space: bool = False,
) -> Folder:
    """Convert the sources at `folder` to a native dataset at `out`.

    Raises:
        DatasetError: it cannot be converted, or `out` cannot be written, or there is not enough space.
    """
    stop = threading.Event()

    def report(line: str) -> None:
        if stop.is_set():
            raise _Stopped
        log.info("job %d: %s", rejects.job_id, line)

    def run() -> None:
        _make(out.parent)
        if not ignore_space:
            _check_space(folder, out, sources)
        options = Options(sources, metadata, skip_rows=rejects.limit, replace=True, shape_needed=True)
        try:
            to_native(folder, out, options, report, rejects.add)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise DatasetError(
                out.parent,
                f"the conversion cannot be written there ({os.strerror(error.errno)}); free some space, or name "
                "another folder (MEMICOS_IMPORT_FOLDER)",
            ) from error

    converting = asyncio.ensure_future(asyncio.to_thread(run))
    try:
        await asyncio.shield(converting)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait({converting})
        raise
    return Folder.of(out)


def _make(folder: Path) -> None:
    """Make the folder where conversions are, and write a file there."""
    try:
        # other users of the machine read no dataset in it
        folder.mkdir(0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise DatasetError(
            folder,
            f"a conversion cannot be written there ({error.strerror}); make it writable, or name another folder "
            "(MEMICOS_IMPORT_FOLDER)",
        ) from error


def _check_space(folder: Folder, out: Path, sources: tuple[str, ...]) -> None:
    """Compare the size of the batch files with the free space and what an interrupted conversion has written."""
    needed = CONVERSION_FACTOR * listed(folder, sources).bytes
    written = sum(path.stat().st_size for part in _parts(out) for path in part.rglob("*") if path.is_file())
    if problem := Space(str(out.parent), max(needed - written, 0), free_in(out.parent)).problem:
        raise DatasetError(
            folder.root, f"{problem}; free some, name another folder (MEMICOS_IMPORT_FOLDER), or {ANYWAY}"
        )


def _parts(out: Path) -> tuple[Path, Path]:
    """The folder of a conversion, and that of one that is not complete."""
    return out, out.with_name(f".{out.name}.convert")


def delete(out: Path) -> None:
    """Delete the folder of a conversion, complete or not."""
    for path in (*_parts(out), out.with_name(f".{out.name}.convert.lock")):
        # false below a folder that this process may not read, where it has written nothing
        if not os.path.lexists(path):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
