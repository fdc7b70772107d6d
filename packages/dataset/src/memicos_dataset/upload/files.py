"""The files of a dataset of any format, with their sizes and hashes."""

import hashlib
import re
from dataclasses import dataclass

from memicos_dataset.conversion.formats import Format, format_of
from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import COPY_BYTES, Folder
from memicos_dataset.manifest import FILE_NAME
from memicos_dataset.own_files import check_own_files, other_files
from memicos_dataset.public_layout import metadata
from memicos_dataset.public_layout.files import source_folders
from memicos_dataset.read import read_manifest

_NAME_CHARACTERS = re.compile(r"[^A-Za-z0-9._@+=,-]")


@dataclass(frozen=True)
class LocalFile:
    """A file of the dataset; `path` is relative to its folder."""

    path: str
    bytes: int
    sha256: str


def dataset_name(folder: Folder) -> str:
    """The folder's parent and name, which are the model and the source in the public layout, as the server takes it."""
    parts = (folder.parent.name, folder.name)
    return "/".join(_NAME_CHARACTERS.sub("_", part).lstrip(".@+=,-") or "dataset" for part in parts)


def dataset_files(folder: Folder, follow_links: bool = False) -> list[LocalFile]:
    """The files that belong to a dataset, by path. Hashes are computed, except those that a manifest has.

    Args:
        follow_links: also files outside of a local folder that links in it lead to.

    Raises:
        DatasetError: the folder has no dataset, a file cannot be read, or is outside of the folder.
    """
    try:
        if not follow_links:
            check_own_files(folder)
        if format_of(folder) is Format.NATIVE:
            entries = read_manifest(folder).files()
            found = {entry.path: LocalFile(entry.path, entry.bytes, entry.sha256) for entry in entries}
            _check_sizes(folder, found)
            return [_hashed(folder, FILE_NAME), *(found[path] for path in sorted(found))]
        return [_hashed(folder, path) for path in sorted(other_files(folder))]
    except OSError as error:
        raise DatasetError(folder.root, f"cannot be read ({error})") from error


def check_metadata(folder: Folder, metadata_options: metadata.MetadataOptions) -> None:
    """Check what the files beside the batches say, before anything is sent.

    Raises:
        DatasetError: the import would refuse it; or the folder has no dataset.
    """
    try:
        if format_of(folder) is Format.NATIVE:
            return
        rows = metadata.read_all_rows(source_folders(folder), metadata_options)[0][1]
    except OSError as error:
        raise DatasetError(folder.root, f"cannot be read ({error})") from error
    if problem := metadata.missing_shape(metadata.model_shape(rows, metadata_options)):
        raise DatasetError(folder.root, problem)


def _check_sizes(folder: Folder, found: dict[str, LocalFile]) -> None:
    for file in found.values():
        size = folder.size(file.path)
        if size != file.bytes:
            actual = "is not there" if size is None else f"has {size} bytes"
            raise DatasetError(folder.locate(file.path), f"{actual}, and the manifest says {file.bytes}")


def _hashed(folder: Folder, path: str) -> LocalFile:
    digest, size = hashlib.sha256(), 0
    with folder.open(path) as file:
        while chunk := file.read(COPY_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return LocalFile(path, size, digest.hexdigest())
