"""The files of a dataset of any format, with their sizes and hashes."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from memicos_dataset.conversion.formats import Format, format_of
from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import COPY_BYTES, Folder
from memicos_dataset.manifest import FILE_NAME
from memicos_dataset.public_layout.files import METADATA, source_folders
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
        if format_of(folder) is Format.NATIVE:
            entries = read_manifest(folder).files()
            if not follow_links:
                _check_inside(folder, [FILE_NAME, *(entry.path for entry in entries)])
            found = {entry.path: LocalFile(entry.path, entry.bytes, entry.sha256) for entry in entries}
            _check_sizes(folder, found)
            return [_hashed(folder, FILE_NAME), *(found[path] for path in sorted(found))]
        paths = sorted(_other_files(folder))
        if not follow_links:
            _check_inside(folder, paths)
        return [_hashed(folder, path) for path in paths]
    except OSError as error:
        raise DatasetError(folder.root, f"cannot be read ({error})") from error


def _check_inside(folder: Folder, paths: Iterable[str]) -> None:
    """Refuse files outside of a local folder: whoever made the folder chose where its links lead."""
    if not isinstance(folder.root, Path):
        return
    root = folder.root.resolve()
    for path in paths:
        target = (folder.root / path).resolve()
        if not target.is_relative_to(root):
            raise DatasetError(
                folder.locate(path), f"is a link to {target}, outside of the dataset's folder; --follow-links sends it"
            )


def _check_sizes(folder: Folder, found: dict[str, LocalFile]) -> None:
    for file in found.values():
        size = folder.size(file.path)
        if size != file.bytes:
            actual = "is not there" if size is None else f"has {size} bytes"
            raise DatasetError(folder.locate(file.path), f"{actual}, and the manifest says {file.bytes}")


def _other_files(folder: Folder) -> Iterator[str]:
    """Files of the public layout, or of SAEDashboard's output."""
    for source in source_folders(folder):
        prefix = "" if source.folder.root == folder.root else f"{source.folder.name}/"
        names = set(source.folder.names())
        yield from (f"{prefix}{name}.jsonl" for name in METADATA if f"{name}.jsonl" in names)
        yield from (prefix + batch.path for batch in source.batches)


def _hashed(folder: Folder, path: str) -> LocalFile:
    digest, size = hashlib.sha256(), 0
    with folder.open(path) as file:
        while chunk := file.read(COPY_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return LocalFile(path, size, digest.hexdigest())
