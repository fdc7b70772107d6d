"""The format of what is at a location, and any of them as a native dataset."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from memicos_dataset.conversion.conversion_folder import Options, ProgressCallback
from memicos_dataset.conversion.native import to_native
from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder
from memicos_dataset.manifest import FILE_NAME
from memicos_dataset.public_layout.files import source_folders


class Format(StrEnum):
    NATIVE = "native"
    PUBLIC = "public"
    SAEDASHBOARD = "saedashboard"


def format_of(folder: Folder, sources: tuple[str, ...] = ()) -> Format:
    """The format of a folder.

    Raises:
        DatasetError: it is none of the formats, or cannot be read.
    """
    try:
        if folder.exists(FILE_NAME):
            return Format.NATIVE
        if isinstance(folder.root, Path) and not folder.root.is_dir():
            raise DatasetError(folder.root, "is not there" if not folder.root.exists() else "is no folder")
        first = source_folders(folder, list(sources))[0]
    except OSError as error:
        raise DatasetError(folder.root, f"cannot be read ({error})") from error
    return Format.SAEDASHBOARD if first.dashboard else Format.PUBLIC


@contextmanager
def as_native(folder: Folder, options: Options, report: ProgressCallback) -> Iterator[Folder]:
    """A native dataset as it is, or another one converted into a temporary folder.

    Raises:
        DatasetError: it cannot be read or converted.
    """
    if format_of(folder, options.sources) is Format.NATIVE:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="memicos-convert-") as temporary:
        out = Path(temporary) / "dataset"
        to_native(folder, out, options, report)
        yield Folder.of(out)
