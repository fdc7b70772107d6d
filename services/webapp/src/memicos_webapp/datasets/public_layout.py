"""Datasets of other formats, converted to the native one in a folder of the job before they are imported.

The converter streams: it holds a batch of rows and the contexts' hashes, whatever the size of the source. A conversion
that is interrupted goes on after its last complete file (`memicos_dataset.conversion`).
"""

import asyncio
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

from memicos_webapp.datasets.preview import CONVERSION_FACTOR, Space, free_in, listed
from memicos_webapp.datasets.rejects import Rejects

log = logging.getLogger(__name__)


class _Stopped(Exception):
    """The import was cancelled while its thread converted."""


def work_folder(folder: Path, location: str) -> Path:
    """The folder of the conversion of what is at a location."""
    return folder / hashlib.sha256(location.encode()).hexdigest()[:24]


async def convert(
    folder: Folder, out: Path, sources: tuple[str, ...], metadata: MetadataOptions, rejects: Rejects
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
        _check_space(folder, out.parent, sources)
        options = Options(sources, metadata, skip_rows=rejects.limit, replace=True)
        to_native(folder, out, options, report, rejects.add)

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


def _check_space(folder: Folder, place: Path, sources: tuple[str, ...]) -> None:
    """Compare the free space with the size of the batch files."""
    needed = CONVERSION_FACTOR * listed(folder, sources).bytes
    if problem := Space(str(place), needed, free_in(place)).problem:
        raise DatasetError(folder.root, f"{problem}; free some, or name another folder (MEMICOS_IMPORT_FOLDER)")


def delete(out: Path) -> None:
    """Delete the folder of a conversion, complete or not."""
    for path in (out, out.with_name(f".{out.name}.convert"), out.with_name(f".{out.name}.convert.lock")):
        # false below a folder that this process may not read, where it has written nothing
        if not os.path.lexists(path):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
