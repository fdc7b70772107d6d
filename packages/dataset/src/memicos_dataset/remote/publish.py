"""Publishing a dataset in the public layout: converted on this machine, then put to a URL, source by source."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import orjson

from memicos_dataset.conversion.conversion_folder import Options
from memicos_dataset.conversion.formats import Format, format_of
from memicos_dataset.conversion.native import to_native
from memicos_dataset.conversion.public import to_public
from memicos_dataset.folder import Folder
from memicos_dataset.public_layout.file_list import FILE_LIST, ListedFile, file_list
from memicos_dataset.public_layout.files import KINDS, METADATA, VERSION_FOLDER, SourceFolder, source_folders
from memicos_dataset.public_layout.metadata import read_rows
from memicos_dataset.read import read_manifest
from memicos_dataset.remote.checksums import LocalFile, local_file
from memicos_dataset.remote.put import PutOptions, ReportSent, Target, put_dataset
from memicos_dataset.remote.work_folder import DEFAULT_WORK, work_folder
from memicos_dataset.wording import quantity

_PART = re.compile(rf"({'|'.join(METADATA)}|files)\.jsonl|({'|'.join(KINDS)})/batch-\d+\.jsonl(\.gz)?")

Report = Callable[[str], object]


@dataclass(frozen=True)
class PublishOptions:
    conversion: Options = field(default_factory=Options)
    put: PutOptions = field(default_factory=PutOptions)
    work: Path = DEFAULT_WORK
    """Folder in which the dataset is converted; what an interrupted run left there is used."""


def publish(dataset: Folder, to: Folder, options: PublishOptions, report: Report, report_sent: ReportSent) -> list[str]:
    """Put a dataset of any format to `v1/<model>/<source>/` below `to`; returns these paths.

    A source's list of files is put first, its batch files next, the four files of one row last, so that no reader
    takes a source for complete before it is. The same call goes on after an interruption at any moment.

    Raises:
        DatasetError: the dataset cannot be read or converted, or another one is there.
        OSError: `to` cannot be read or written.
    """
    # before a conversion that may take long
    Target(to, options.put).check_readable()
    paths = []
    with work_folder(dataset, to, options.work) as work:
        for source in _public_sources(dataset, work, options.conversion, report):
            rows = read_rows(source)
            path = f"{VERSION_FOLDER}/{rows.model_id}/{rows.id}"
            files, last = _files(source, work / "lists" / rows.model_id / rows.id)
            sent = put_dataset(Target(to / path, options.put), files, last, is_part, report_sent)
            report(f"{path}: verified, with {quantity(len(files) + len(last), 'file')}, {sent} of them sent now")
            paths.append(path)
    return paths


def is_part(path: str) -> bool:
    """Whether a file of a source's folder belongs to the public layout."""
    return _PART.fullmatch(path) is not None


def _public_sources(dataset: Folder, work: Path, options: Options, report: Report) -> list[SourceFolder]:
    """The sources in the public layout on this machine; converted where they are not."""
    kind = format_of(dataset, options.sources)
    if kind is Format.PUBLIC and isinstance(dataset.root, Path):
        sources = source_folders(dataset, list(options.sources))
        if all(set(_metadata_files(source)) == set(METADATA) for source in sources):
            return sources
    native = dataset
    if kind is not Format.NATIVE:
        native = Folder.of(work / "native")
        # goes on after its last complete file
        to_native(dataset, work / "native", replace(options, replace=True), report)
        options = replace(options, sources=())
    manifest = read_manifest(native)
    plan = orjson.dumps([manifest.model_dump(mode="json"), sorted(options.sources)], default=str)
    public = work / f"public-{hashlib.sha256(plan).hexdigest()[:16]}"
    if not public.exists():
        to_public(native, public, options, report)
    return source_folders(Folder.of(public / VERSION_FOLDER / manifest.model.id))


def _metadata_files(source: SourceFolder) -> list[str]:
    names = source.folder.names()
    return [name for name in METADATA if f"{name}.jsonl" in names]


def _files(source: SourceFolder, lists: Path) -> tuple[list[LocalFile], list[LocalFile]]:
    """The list of files and the batch files, and the files that are put last; the list is written into `lists`."""
    root = source.folder.root
    assert isinstance(root, Path)
    batches = [local_file(root, batch.path) for batch in source.batches]
    last = [local_file(root, f"{name}.jsonl") for name in METADATA]
    lists.mkdir(parents=True, exist_ok=True)
    entries = (ListedFile(path=file.path, bytes=file.bytes, sha256=file.sha256) for file in (*batches, *last))
    (lists / FILE_LIST).write_bytes(file_list(entries))
    return [local_file(lists, FILE_LIST), *batches], last
