"""Replaces the explanations or scores of a dataset on disk, in one step."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pyarrow as pa
from memicos_dataset import manifest as m
from memicos_dataset.replace_folder import replace_folder, staging_folder
from memicos_dataset.write import write_table

EXPLANATIONS, SCORES = "explanations", "scores"
Kind = Literal["explanations", "scores"]


def replace_tables(folder: Path, manifest: m.Manifest, kind: Kind, tables: Mapping[str, pa.Table]) -> None:
    """Replace a dataset by one whose sources have these tables. Files that stay the same are linked, not copied.

    Args:
        kind: of the tables.
        tables: by source; other sources keep theirs.
    """
    staging = staging_folder(folder)
    shutil.rmtree(staging, ignore_errors=True)
    shutil.copytree(folder, staging, copy_function=os.link)
    for source in manifest.source_set.sources:
        if source.id in tables:
            before: m.FileEntry | None = getattr(source, kind)
            path = before.path if before else f"{source.id}/{kind}.parquet"
            # a linked file must not be written into: the dataset in `folder` has the same one
            (staging / path).unlink(missing_ok=True)
            setattr(source, kind, write_table(staging, path, tables[source.id]))
    manifest.version = m.VERSION
    (staging / m.FILE_NAME).unlink()
    manifest.write(staging)
    replace_folder(folder)
