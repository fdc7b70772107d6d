"""Writing the Parquet files of a dataset."""

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from memicos_dataset.manifest import FileEntry


def write_table(folder: Path, path: str, table: pa.Table) -> FileEntry:
    """Write `table` as `folder`/`path` (Zstandard) and return its manifest entry.

    The bytes depend on the rows and the pyarrow version only, so a dataset can be made again and compared.
    """
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, target, compression="zstd", compression_level=19)
    content = target.read_bytes()
    return FileEntry(path=path, rows=table.num_rows, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
