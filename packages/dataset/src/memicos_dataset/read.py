"""Reading a dataset: the manifest, checks of files against it, and the rows of each file in batches."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from memicos_dataset import schema
from memicos_dataset.errors import DatasetError, RowError
from memicos_dataset.manifest import FILE_NAME, FileEntry, Manifest, Source


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of the dataset in `folder`.

    Raises:
        DatasetError: there is none, or this version cannot read it.
    """
    path = folder / FILE_NAME
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise DatasetError(path, "no such file; is this the folder of a memicos dataset?") from None
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValidationError as error:
        first = error.errors()[0]
        location = ".".join(str(part) for part in first["loc"]) or "the document"
        raise DatasetError(path, f"{location}: {first['msg']}") from error


def verify_file(folder: Path, entry: FileEntry) -> None:
    """Compare a file's size and sha256 with the manifest.

    Raises:
        DatasetError: the file is missing, cannot be read or differs.
    """
    path = folder / entry.path
    try:
        if not path.is_file():
            raise DatasetError(path, "listed in the manifest but missing; fetch the dataset again")
        size = path.stat().st_size
        if size != entry.bytes:
            raise DatasetError(path, f"has {size} bytes, expected {entry.bytes}; fetch the dataset again")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error
    if digest != entry.sha256:
        raise DatasetError(path, f"sha256 is {digest}, the manifest says {entry.sha256}; fetch the dataset again")


def _unreadable(path: Path, error: OSError) -> DatasetError:
    return DatasetError(path, f"cannot be read ({error.strerror or error})")


def verify(folder: Path, manifest: Manifest) -> None:
    """`verify_file` for every file of the dataset."""
    for entry in manifest.files():
        verify_file(folder, entry)


@dataclass(frozen=True)
class Batch:
    """Some rows of the file `path`; `first_row` is the number of the first of them in the file."""

    path: Path
    first_row: int
    rows: pa.RecordBatch

    def error(self, row: int, column: str, problem: str) -> RowError:
        """An error about row `row` of the batch."""
        return RowError(self.path, self.first_row + row, column, problem)


def _batches(folder: Path, entry: FileEntry, expected: pa.Schema, size: int) -> Iterator[Batch]:
    path = folder / entry.path
    try:
        with pq.ParquetFile(path) as file:
            stored = file.schema_arrow
            if stored.names != expected.names or stored.types != expected.types:
                raise DatasetError(path, f"has columns {_columns(stored)}, expected {_columns(expected)}")
            if file.metadata.num_rows != entry.rows:
                raise DatasetError(path, f"has {file.metadata.num_rows} rows, the manifest says {entry.rows}")
            first_row = 0
            for rows in file.iter_batches(batch_size=size):
                yield Batch(path, first_row, rows)
                first_row += len(rows)
    except (pa.ArrowInvalid, OSError) as error:
        raise DatasetError(path, f"is not a readable Parquet file ({error})") from error


def _columns(columns: pa.Schema) -> str:
    return ", ".join(f"{field.name} ({field.type})" for field in columns)


def document_batches(folder: Path, manifest: Manifest, size: int = 4096) -> Iterator[Batch]:
    return _batches(folder, manifest.corpus.documents, schema.DOCUMENTS, size)


def vocabulary_batches(folder: Path, manifest: Manifest, size: int = 65536) -> Iterator[Batch]:
    return _batches(folder, manifest.corpus.vocabulary, schema.VOCABULARY, size)


def context_batches(folder: Path, manifest: Manifest, size: int = 4096) -> Iterator[Batch]:
    for entry in manifest.corpus.context_files:
        yield from _batches(folder, entry, schema.CONTEXTS, size)


def feature_batches(folder: Path, source: Source, size: int = 256) -> Iterator[Batch]:
    for entry in source.features:
        yield from _batches(folder, entry, schema.FEATURES, size)


def explanation_batches(folder: Path, source: Source, size: int = 4096) -> Iterator[Batch]:
    if source.explanations:
        yield from _batches(folder, source.explanations, schema.EXPLANATIONS, size)


def documents(folder: Path, manifest: Manifest) -> Iterator[pa.RecordBatch]:
    return (batch.rows for batch in document_batches(folder, manifest))


def vocabulary(folder: Path, manifest: Manifest) -> Iterator[pa.RecordBatch]:
    return (batch.rows for batch in vocabulary_batches(folder, manifest))


def contexts(folder: Path, manifest: Manifest) -> Iterator[pa.RecordBatch]:
    return (batch.rows for batch in context_batches(folder, manifest))


def features(folder: Path, source: Source) -> Iterator[pa.RecordBatch]:
    return (batch.rows for batch in feature_batches(folder, source))


def explanations(folder: Path, source: Source) -> Iterator[pa.RecordBatch]:
    return (batch.rows for batch in explanation_batches(folder, source))
