"""A native dataset to a URL."""

import re
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from memicos_dataset.conversion.conversion_folder import Options, ProgressCallback
from memicos_dataset.conversion.native import to_native
from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder
from memicos_dataset.manifest import FILE_NAME, Manifest
from memicos_dataset.read import read_manifest
from memicos_dataset.remote.checksums import local_file
from memicos_dataset.remote.put import PutOptions, ReportSent, Target, put_dataset
from memicos_dataset.remote.work_folder import DEFAULT_WORK, work_folder

_PART = re.compile(
    r"manifest\.json|corpus/(documents|vocabulary|contexts-\d+)\.parquet|[^/]+/(features-\d+|explanations|scores)\.parquet"
)


def put_native(dataset: Path, to: Folder, options: PutOptions, report_sent: ReportSent) -> int:
    """Put a native dataset of this machine to a folder at a URL, its manifest last; returns the number of files sent.

    The same call goes on after an interruption at any moment. Of another dataset that is there, the sources that its
    manifest names are deleted; files in other folders are not touched. Where an interruption comes between the deletion
    of that manifest and of its files, these stay, as part of no dataset.

    Raises:
        DatasetError: the dataset is damaged, or another one is there.
        OSError: `to` cannot be read or written.
    """
    manifest = read_manifest(dataset)
    entries = manifest.files()
    files = [local_file(dataset, entry.path) for entry in entries]
    for entry, file in zip(entries, files, strict=True):
        if file.sha256 != entry.sha256:
            raise DatasetError(file.file, f"sha256 is {file.sha256}, the manifest says {entry.sha256}")
    target = Target(to, options)
    folders = {"corpus", *_source_ids(manifest), *_source_ids(_present_manifest(to, options))}

    def is_part(path: str) -> bool:
        return path == FILE_NAME or (path.partition("/")[0] in folders and _PART.fullmatch(path) is not None)

    return put_dataset(target, files, [local_file(dataset, FILE_NAME)], is_part, report_sent)


def convert_to_native(
    dataset: Folder,
    to: Folder,
    options: Options,
    put: PutOptions,
    report: ProgressCallback,
    report_sent: ReportSent,
    work: Path = DEFAULT_WORK,
) -> None:
    """Convert a dataset of another format on this machine, in `work`, and put the result to `to`.

    The same call goes on after an interruption at any moment.

    Raises:
        DatasetError: it cannot be read or converted, or another dataset is there.
        OSError: `to` cannot be read or written.
    """
    Target(to, put).check_readable()
    with work_folder(dataset, to, work) as folder:
        native = folder / "native"
        to_native(dataset, native, replace(options, replace=True), report)
        put_native(native, to, put, report_sent)


def _source_ids(manifest: Manifest | None) -> list[str]:
    return [source.id for source in manifest.source_set.sources] if manifest else []


def _present_manifest(to: Folder, options: PutOptions) -> Manifest | None:
    """The manifest at `to`; None where there is none, or one that this version cannot read."""
    try:
        content = replace(to, patience_seconds=options.patience_seconds).read(FILE_NAME)
    except FileNotFoundError:
        return None
    try:
        return Manifest.model_validate_json(content)
    except ValidationError:
        return None
