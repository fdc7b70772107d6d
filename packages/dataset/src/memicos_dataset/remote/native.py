"""A native dataset to a URL."""

import re
from dataclasses import replace
from pathlib import Path

from memicos_dataset.conversion.conversion_folder import Options, ProgressCallback
from memicos_dataset.conversion.native import to_native
from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder
from memicos_dataset.manifest import FILE_NAME
from memicos_dataset.read import read_manifest
from memicos_dataset.remote.checksums import local_file
from memicos_dataset.remote.put import PutOptions, ReportSent, Target, put_dataset
from memicos_dataset.remote.work_folder import DEFAULT_WORK, work_folder

_PART = re.compile(
    r"manifest\.json|corpus/(documents|vocabulary|contexts-\d+)\.parquet|[^/]+/(features-\d+|explanations|scores)\.parquet"
)


def put_native(dataset: Path, to: Folder, options: PutOptions, report_sent: ReportSent) -> int:
    """Put a native dataset of this machine to a folder at a URL, its manifest last; returns the number of files sent.

    The same call goes on after an interruption at any moment.

    Raises:
        DatasetError: the dataset is damaged, or another one is there.
        OSError: `to` cannot be read or written.
    """
    entries = read_manifest(dataset).files()
    files = [local_file(dataset, entry.path) for entry in entries]
    for entry, file in zip(entries, files, strict=True):
        if file.sha256 != entry.sha256:
            raise DatasetError(file.file, f"sha256 is {file.sha256}, the manifest says {entry.sha256}")
    return put_dataset(Target(to, options), files, [local_file(dataset, FILE_NAME)], is_part, options, report_sent)


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


def is_part(path: str) -> bool:
    """Whether a file of a folder belongs to a native dataset."""
    return _PART.fullmatch(path) is not None
