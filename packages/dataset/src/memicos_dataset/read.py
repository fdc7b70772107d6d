"""Reading a dataset: the manifest, checks of files against it, and the rows of each file in batches.

A dataset is in a folder or at a URL that `folder` can read.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from memicos_dataset import schema
from memicos_dataset.errors import DatasetError, RowError
from memicos_dataset.folder import COPY_BYTES, Folder, Location
from memicos_dataset.manifest import FILE_NAME, FileEntry, Manifest, Source
from memicos_dataset.wording import quantity

VALUES_OF_ROW_GROUP, BYTES_OF_ROW_GROUP = 1 << 28, 1 << 30
"""Most values, and bytes before compression, of a column in a row group. `memicos generate` writes 4,096 rows, of which
a column has some millions of values."""


def read_manifest(location: Location) -> Manifest:
    """Read the manifest of the dataset in a folder.

    Raises:
        DatasetError: there is none, or this version cannot read it.
    """
    folder = Folder.of(location)
    path = folder.locate(FILE_NAME)
    try:
        return Manifest.model_validate_json(folder.read(FILE_NAME))
    except FileNotFoundError:
        raise DatasetError(path, "no such file; is this the folder of a memicos dataset?") from None
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValidationError as error:
        first = error.errors()[0]
        location_in_file = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise DatasetError(path, f"{location_in_file}: {message}" if location_in_file else message) from error


def verify_file(location: Location, entry: FileEntry) -> None:
    """Compare a file's size and sha256 with the manifest.

    Raises:
        DatasetError: the file is missing, cannot be read or differs.
    """
    folder = Folder.of(location)
    path = folder.locate(entry.path)
    try:
        size = folder.size(entry.path)
        if size is not None and size != entry.bytes:
            raise DatasetError(path, f"has {size} bytes, expected {entry.bytes}; fetch the dataset again")
        digest, length = hashlib.sha256(), 0
        with folder.open(entry.path) as file:
            while chunk := file.read(COPY_BYTES):
                digest.update(chunk)
                length += len(chunk)
    except FileNotFoundError:
        raise DatasetError(path, "listed in the manifest but missing; fetch the dataset again") from None
    except OSError as error:
        raise _unreadable(path, error) from error
    if length != entry.bytes:
        raise DatasetError(path, f"has {length} bytes, expected {entry.bytes}; fetch the dataset again")
    if digest.hexdigest() != entry.sha256:
        raise DatasetError(
            path, f"sha256 is {digest.hexdigest()}, the manifest says {entry.sha256}; fetch the dataset again"
        )


def _unreadable(path: Path | str, error: OSError) -> DatasetError:
    return DatasetError(path, f"cannot be read ({error.strerror or error})")


def verify(location: Location, manifest: Manifest) -> None:
    """`verify_file` for every file of the dataset."""
    for entry in manifest.files():
        verify_file(location, entry)


@dataclass(frozen=True)
class Batch:
    """Some rows of the file `path`; `first_row` is the number of the first of them in the file.

    Columns of `rows`: the core columns of `table`, then those of its optional columns that the file has, then unknown
    columns.
    """

    path: Path | str
    first_row: int
    rows: pa.RecordBatch
    table: schema.Table
    numbers: np.ndarray | None = None
    """Numbers (R,) of the rows, counted from `first_row`, where rows were left out."""

    def error(self, row: int, column: str, problem: str) -> RowError:
        """An error about row `row` of the batch."""
        number = row if self.numbers is None else int(self.numbers[row])
        return RowError(self.path, self.first_row + number, column, problem)

    def without(self, error: RowError) -> "Batch":
        """The batch without the row that `error`, an error of this batch, is about."""
        numbers = np.arange(len(self.rows)) if self.numbers is None else self.numbers
        kept = numbers != error.row - self.first_row
        return replace(self, rows=self.rows.filter(pa.array(kept)), numbers=numbers[kept])


def _batches(location: Location, entry: FileEntry, table: schema.Table, size: int) -> Iterator[Batch]:
    folder = Folder.of(location)
    path = folder.locate(entry.path)
    try:
        with folder.open_seekable(entry.path) as opened, pq.ParquetFile(opened) as file:
            names = _column_order(path, file.schema_arrow, table)
            if file.metadata.num_rows != entry.rows:
                rows = quantity(file.metadata.num_rows, "row")
                raise DatasetError(path, f"has {rows}, the manifest says {entry.rows:,}")
            _check_values(path, file.metadata)
            first_row = 0
            for rows in file.iter_batches(batch_size=size):
                yield Batch(path, first_row, rows.select(names), table)
                first_row += len(rows)
    except (pa.ArrowInvalid, OSError) as error:
        raise DatasetError(path, f"is not a readable Parquet file ({error})") from error


def _check_values(path: Path | str, metadata: pq.FileMetaData) -> None:
    """
    Raises:
        DatasetError: a row group has more values than are decoded, as a small file that decompresses to a huge one has.
    """
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        columns = [group.column(i) for i in range(group.num_columns)]
        for column in columns:
            if column.num_values > VALUES_OF_ROW_GROUP or column.total_uncompressed_size > BYTES_OF_ROW_GROUP:
                raise DatasetError(
                    path,
                    f"row group {number} has {column.num_values:,} values of {column.path_in_schema} "
                    f"({column.total_uncompressed_size:,} bytes); at most {VALUES_OF_ROW_GROUP:,} "
                    f"({BYTES_OF_ROW_GROUP:,} bytes) are read: write smaller row groups",
                )


def _column_order(path: Path | str, stored: pa.Schema, table: schema.Table) -> list[str]:
    """Names of a file's columns as a Batch has them.

    Raises:
        DatasetError: a core column is missing, a name occurs twice or a listed column has another type.
    """
    if len(set(stored.names)) != len(stored.names):
        raise DatasetError(path, f"has columns of the same name: {', '.join(sorted(stored.names))}")
    _check_core(path, stored, table.core.names)
    known = [field for field in table.known if field.name in stored.names]
    for field in known:
        kind = stored.field(field.name).type
        if kind != field.type:
            raise DatasetError(path, f"has column {field.name} of type {kind}, expected {field.type}")
    names = [field.name for field in known]
    return names + [name for name in stored.names if name not in names]


def _check_core(path: Path | str, stored: pa.Schema, core: Sequence[str]) -> None:
    """
    Raises:
        DatasetError: a file lacks one of the columns `core`.
    """
    missing = [name for name in core if name not in stored.names]
    if missing:
        raise DatasetError(path, f"lacks the columns {', '.join(missing)}; it has columns {_columns(stored)}")


def _columns(columns: pa.Schema) -> str:
    return ", ".join(f"{field.name} ({field.type})" for field in columns)


def document_batches(folder: Location, manifest: Manifest, size: int = 4096) -> Iterator[Batch]:
    return _batches(folder, manifest.corpus.documents, schema.DOCUMENT_TABLE, size)


def vocabulary_batches(folder: Location, manifest: Manifest, size: int = 65536) -> Iterator[Batch]:
    return _batches(folder, manifest.corpus.vocabulary, schema.VOCABULARY_TABLE, size)


def context_batches(folder: Location, manifest: Manifest, size: int = 4096) -> Iterator[Batch]:
    for entry in manifest.corpus.context_files:
        yield from _batches(folder, entry, schema.CONTEXT_TABLE, size)


def feature_file_batches(folder: Location, entry: FileEntry, size: int = 256) -> Iterator[Batch]:
    """Batches of one of a source's files of features."""
    return _batches(folder, entry, schema.FEATURE_TABLE, size)


def feature_columns(
    location: Location, source: Source, columns: Sequence[str], size: int = 64
) -> Iterator[pa.RecordBatch]:
    """Batches of a source's features with those of the columns that its files have; the others are not read.

    Raises:
        DatasetError: a file cannot be read, or lacks one of the columns that is not optional.
    """
    folder = Folder.of(location)
    for entry in source.features:
        path = folder.locate(entry.path)
        try:
            with folder.open_seekable(entry.path) as opened, pq.ParquetFile(opened) as file:
                _check_values(path, file.metadata)
                stored = file.schema_arrow
                _check_core(path, stored, [name for name in columns if name in schema.FEATURES.names])
                names = [name for name in columns if name in stored.names]
                yield from file.iter_batches(batch_size=size, columns=names)
        except (pa.ArrowInvalid, OSError) as error:
            raise DatasetError(path, f"is not a readable Parquet file ({error})") from error


def feature_batches(folder: Location, source: Source, size: int = 256) -> Iterator[Batch]:
    for entry in source.features:
        yield from feature_file_batches(folder, entry, size)


def explanation_batches(folder: Location, source: Source, size: int = 4096) -> Iterator[Batch]:
    if source.explanations:
        yield from _batches(folder, source.explanations, schema.EXPLANATION_TABLE, size)


def score_batches(folder: Location, source: Source, size: int = 4096) -> Iterator[Batch]:
    if source.scores:
        yield from _batches(folder, source.scores, schema.SCORE_TABLE, size)


def documents(folder: Location, manifest: Manifest) -> Iterator[pa.RecordBatch]:
    return (batch.rows for batch in document_batches(folder, manifest))


def vocabulary(folder: Location, manifest: Manifest) -> Iterator[pa.RecordBatch]:
    return (batch.rows for batch in vocabulary_batches(folder, manifest))


def contexts(folder: Location, manifest: Manifest) -> Iterator[pa.RecordBatch]:
    return (batch.rows for batch in context_batches(folder, manifest))


def features(folder: Location, source: Source) -> Iterator[pa.RecordBatch]:
    return (batch.rows for batch in feature_batches(folder, source))


def explanations(folder: Location, source: Source) -> Iterator[pa.RecordBatch]:
    return (batch.rows for batch in explanation_batches(folder, source))
