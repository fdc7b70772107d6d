"""Reading a dataset, with every file checked against the manifest before its rows are believed."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from memicos_dataset import schema
from memicos_dataset.errors import DatasetError
from memicos_dataset.manifest import FILE_NAME, FileEntry, Manifest, Source


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the dataset in `folder`.

    Raises:
        DatasetError: there is none, or it is not one that this version reads.
    """
    path = folder / FILE_NAME
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise DatasetError(path, "no such file; is this the folder of a memicos dataset?") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise DatasetError(path, f"{where}: {first['msg']}") from error


def verify_file(folder: Path, entry: FileEntry) -> None:
    """Compare a file's size and sha256 with the manifest.

    Raises:
        DatasetError: the file is missing or differs.
    """
    path = folder / entry.path
    if not path.is_file():
        raise DatasetError(path, "listed in the manifest but missing; fetch the dataset again")
    size = path.stat().st_size
    if size != entry.bytes:
        raise DatasetError(path, f"has {size} bytes, expected {entry.bytes}; fetch the dataset again")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != entry.sha256:
        raise DatasetError(path, f"sha256 is {found}, the manifest says {entry.sha256}; fetch the dataset again")


def verify(folder: Path, manifest: Manifest) -> None:
    """`verify_file` for every file of the dataset."""
    for entry in manifest.files():
        verify_file(folder, entry)


def _batches(folder: Path, entry: FileEntry, expected: pa.Schema, size: int) -> Iterator[pa.RecordBatch]:
    path = folder / entry.path
    try:
        with pq.ParquetFile(path) as file:
            found = file.schema_arrow
            if found.names != expected.names or found.types != expected.types:
                raise DatasetError(path, f"has columns {found.names}, expected {expected.names}")
            if file.metadata.num_rows != entry.rows:
                raise DatasetError(path, f"has {file.metadata.num_rows} rows, the manifest says {entry.rows}")
            yield from file.iter_batches(batch_size=size)
    except (pa.ArrowInvalid, OSError) as error:
        raise DatasetError(path, f"is not a readable Parquet file ({error})") from error


def documents(folder: Path, manifest: Manifest, size: int = 4096) -> Iterator[pa.RecordBatch]:
    return _batches(folder, manifest.corpus.documents, schema.DOCUMENTS, size)


def vocabulary(folder: Path, manifest: Manifest, size: int = 65536) -> Iterator[pa.RecordBatch]:
    return _batches(folder, manifest.corpus.vocabulary, schema.VOCABULARY, size)


def contexts(folder: Path, manifest: Manifest, size: int = 4096) -> Iterator[pa.RecordBatch]:
    for entry in manifest.corpus.context_files:
        yield from _batches(folder, entry, schema.CONTEXTS, size)


def features(folder: Path, source: Source, size: int = 256) -> Iterator[pa.RecordBatch]:
    for entry in source.features:
        yield from _batches(folder, entry, schema.FEATURES, size)


def explanations(folder: Path, source: Source, size: int = 4096) -> Iterator[pa.RecordBatch]:
    if source.explanations:
        yield from _batches(folder, source.explanations, schema.EXPLANATIONS, size)
