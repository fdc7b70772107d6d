"""Writing the Parquet files of a dataset."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from memicos_dataset.manifest import FileEntry

ROW_GROUP_ROWS = 4096
"""Rows of a row group: what a reader has to decompress at once."""
FEATURES_PER_FILE = 16384
CONTEXTS_PER_FILE = 65536
SMALLEST_LEVEL, FAST_LEVEL = 19, 3
"""Levels of Zstandard: for datasets that are kept, and for large ones that are written once (`convert`)."""


def write_table(folder: Path, path: str, table: pa.Table, level: int = SMALLEST_LEVEL) -> FileEntry:
    """Write `table` as `folder`/`path` (Zstandard, row groups of ROW_GROUP_ROWS) and return its manifest entry.

    The bytes depend on the rows and the pyarrow version only, so a dataset can be made again and compared.
    """
    return write_batches(folder, path, table.schema, [table], level)


def write_batches(
    folder: Path, path: str, schema: pa.Schema, tables: Iterable[pa.Table], level: int = SMALLEST_LEVEL
) -> FileEntry:
    """Write tables of one schema after another as `folder`/`path`, one of them in memory; see `write_table`."""
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    rows = 0
    with pq.ParquetWriter(target, schema, compression="zstd", compression_level=level) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
            rows += table.num_rows
    return file_entry(folder, path, rows)


def file_entry(folder: Path, path: str, rows: int) -> FileEntry:
    """The manifest entry of a file that has been written."""
    target = folder / path
    with target.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileEntry(path=path, rows=rows, bytes=target.stat().st_size, sha256=digest)
