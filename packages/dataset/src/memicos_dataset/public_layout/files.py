"""Folders of the public layout and of SAEDashboard, and their batch files in the order of their numbers."""

import re
from dataclasses import dataclass

import orjson

from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder
from memicos_dataset.public_layout.file_list import FILE_LIST, ListedFile, check_present, read_file_list

KINDS = ("features", "activations", "explanations")
METADATA = ("release", "model", "sourceset", "source")
"""Files of one row beside the folders of batches, without `.jsonl`."""
VERSION_FOLDER = "v1"
"""Above the folders of models, in a bucket and in what a conversion writes."""
MODELS_NAMED = 3
"""Most folders of models that a message names."""

_BATCH = re.compile(r"batch-([0-9]{1,12})\.jsonl(\.gz)?")
_DASHBOARD_BATCH = re.compile(r"batch-([0-9]{1,12})\.json")


@dataclass(frozen=True)
class BatchFile:
    """A file of rows; `path` is relative to the source's folder."""

    kind: str
    number: int
    path: str


@dataclass(frozen=True)
class SourceFolder:
    """A source in the public layout (`dashboard` is false), or an output folder of SAEDashboard."""

    folder: Folder
    dashboard: bool
    batches: tuple[BatchFile, ...]
    listed: tuple[ListedFile, ...] = ()
    """What `files.jsonl` names, where the source has one."""

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def model_id(self) -> str:
        return self.folder.parent.name

    def metadata(self, name: str) -> dict[str, object]:
        """The row of `<name>.jsonl`; empty where there is no such file.

        Raises:
            DatasetError: the file has no JSON object in its first line.
        """
        path = f"{name}.jsonl"
        try:
            content = self.folder.read(path)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise DatasetError(self.folder.locate(path), f"cannot be read ({error})") from error
        lines = content.split(b"\n")
        try:
            row = orjson.loads(lines[0])
        except orjson.JSONDecodeError as error:
            raise DatasetError(self.folder.locate(path), f"line 1 is not JSON ({error})") from error
        if not isinstance(row, dict):
            raise DatasetError(self.folder.locate(path), "line 1 is not a JSON object")
        return row


def source_folder(folder: Folder) -> SourceFolder | None:
    """The source in a folder; None where it has no batch files of either kind.

    Raises:
        DatasetError: it is published by half: a file that its `files.jsonl` names is not there.
    """
    names = folder.names()
    dashboard = sorted(
        (BatchFile("dashboard", int(match[1]), name) for name in names if (match := _DASHBOARD_BATCH.fullmatch(name))),
        key=lambda batch: batch.number,
    )
    if dashboard:
        return SourceFolder(folder, True, tuple(dashboard))
    batches = [batch for kind in KINDS if kind in names for batch in _batches(folder, kind)]
    listed = read_file_list(folder) if FILE_LIST in names else ()
    check_present(folder, listed, [*names, *(batch.path for batch in batches)])
    return SourceFolder(folder, False, tuple(batches), listed) if batches else None


def _batches(folder: Folder, kind: str) -> list[BatchFile]:
    """Batch files of a kind, by number. Other entries, such as folders inside `activations`, are left out.

    Raises:
        DatasetError: a number occurs twice, compressed and not.
    """
    batches: dict[int, BatchFile] = {}
    for name in (folder / kind).names():
        match = _BATCH.fullmatch(name)
        if not match:
            continue
        number = int(match[1])
        if number in batches:
            raise DatasetError(
                folder.locate(f"{kind}/{name}"), f"there is {batches[number].path} too; keep one of them"
            )
        batches[number] = BatchFile(kind, number, f"{kind}/{name}")
    return [batches[number] for number in sorted(batches)]


def _models_inside(folder: Folder, inside: list[str]) -> str:
    """What to name instead of the folder above those of models, which is what a conversion writes."""
    models = (folder / VERSION_FOLDER).names() if VERSION_FOLDER in inside else []
    found = ", ".join(str((folder / VERSION_FOLDER / name).root) for name in models[:MODELS_NAMED])
    return f"; name the folder of a model: {found}" if found else ""


def source_folders(folder: Folder, names: list[str] | None = None) -> list[SourceFolder]:
    """The sources at a location: the folder of a source, or of a model (`names`: these sources of it).

    Raises:
        DatasetError: there are none, or one of `names` is not there.
        OSError: the folder cannot be listed.
    """
    source = source_folder(folder)
    if source is not None and (not names or set(names) == {source.id}):
        return [source]
    inside = folder.names()
    missing = sorted(set(names or ()) - set(inside))
    if missing:
        raise DatasetError(folder.root, f"has no sources {', '.join(missing)}")
    sources = [source_folder(folder / name) for name in (names or inside) if not name.endswith(".jsonl")]
    present = [source for source in sources if source is not None]
    if not present:
        raise DatasetError(
            folder.root,
            "has no source, here or in the folders inside: neither manifest.json of a native dataset, nor "
            f"features/batch-0.jsonl.gz and the like, nor SAEDashboard's batch-0.json{_models_inside(folder, inside)}",
        )
    return present
