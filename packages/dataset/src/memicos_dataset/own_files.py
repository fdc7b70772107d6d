"""The files of a local dataset, and the refusal of those that links place outside of its folder."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from memicos_dataset.conversion.formats import Format, format_of
from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder
from memicos_dataset.manifest import FILE_NAME
from memicos_dataset.public_layout.files import METADATA, source_folders
from memicos_dataset.read import read_manifest


def check_own_files(folder: Folder, sources: Sequence[str] = ()) -> None:
    """Refuse a dataset with files outside of its folder: whoever made the folder chose where its links lead.

    What is published, uploaded or imported is shown to others. Remote folders have no links.

    Args:
        sources: these sources of the public layout; none: all.

    Raises:
        DatasetError: a file is outside of the folder, or cannot be read. A folder without a dataset is no error here:
            what reads it next says what it lacks.
    """
    if not isinstance(folder.root, Path):
        return
    try:
        kind = format_of(folder, tuple(sources))
    except DatasetError:
        return
    try:
        if kind is Format.NATIVE:
            # the manifest names the others
            check_inside(folder, [FILE_NAME])
            check_inside(folder, [entry.path for entry in read_manifest(folder).files()])
        else:
            check_inside(folder, other_files(folder, sources))
    except OSError as error:
        raise DatasetError(folder.root, f"cannot be read ({error})") from error


def check_inside(folder: Folder, paths: Iterable[str]) -> None:
    """Refuse files outside of a local folder.

    Raises:
        DatasetError: a link leads to one of `paths`, or to itself.
    """
    if not isinstance(folder.root, Path):
        return
    root = folder.root.resolve()
    for path in paths:
        try:
            target = (folder.root / path).resolve()
        except RuntimeError as error:
            raise DatasetError(folder.locate(path), "is a link that leads to itself") from error
        if not target.is_relative_to(root):
            raise DatasetError(
                folder.locate(path), f"is a link to {target}, outside of the dataset's folder; --follow-links reads it"
            )


def other_files(folder: Folder, sources: Sequence[str] = ()) -> Iterator[str]:
    """Files of the public layout, or of SAEDashboard's output."""
    for source in source_folders(folder, list(sources)):
        prefix = "" if source.folder.root == folder.root else f"{source.folder.name}/"
        names = set(source.folder.names())
        yield from (f"{prefix}{name}.jsonl" for name in METADATA if f"{name}.jsonl" in names)
        yield from (prefix + batch.path for batch in source.batches)
