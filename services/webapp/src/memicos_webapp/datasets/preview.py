"""What an import would do: the sources of a dataset, their sizes, and the space needed against what is free."""

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import asyncpg
from memicos_dataset import read
from memicos_dataset.conversion.formats import Format, format_of
from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder
from memicos_dataset.manifest import Manifest
from memicos_dataset.public_layout import metadata
from memicos_dataset.public_layout.files import SourceFolder, source_folders

CONVERSION_FACTOR = 3
"""Space in the folder of conversions, in bytes per byte of compressed batch files: steps, then the dataset."""
DATABASE_FACTOR = 3.5
"""Space in the database, indexes and staged rows included, in bytes per byte of Parquet files; the demo needs 3.0."""
LOG_FACTOR = 4
"""Write-ahead log of an import, in bytes per byte of Parquet files, of which PostgreSQL keeps at most about
`max_wal_size`; the demo writes 3.6."""
PUBLIC_SHARE = 0.5
"""Bytes of the Parquet files that batch files of the public layout become, per byte."""

ANYWAY = "import it anyway with memicos import --ignore-space"


@dataclass(frozen=True)
class Space:
    """Bytes needed in a place, and bytes free there; None where this machine cannot know."""

    place: str
    needed: int
    free: int | None

    @property
    def problem(self) -> str | None:
        if self.free is None or self.free >= self.needed:
            return None
        return f"needs {gibibytes(self.needed)} in {self.place}, where {gibibytes(self.free)} are free"


def gibibytes(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"


@dataclass(frozen=True)
class PreviewSource:
    """A source of a dataset. `features` is None where only reading all of it would say."""

    id: str
    features: int | None
    files: int
    bytes: int
    shown: bool
    """Whether readers see a source of this name, which an import would replace."""


@dataclass(frozen=True)
class Preview:
    """What an import of a dataset would do. `texts_bytes` are those of files that all sources share."""

    location: str
    format: Format
    model: str
    set_name: str | None
    """None where the files contradict each other."""
    sources: list[PreviewSource]
    texts_bytes: int
    fault: str | None = None
    """What the files beside the batches have that an import refuses."""
    model_shape: dict[str, int | None] = field(default_factory=dict)
    """Layers, width and vocabulary of the model, None where neither the files nor the options say it; empty where the
    format always says it."""
    space: list[Space] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        return self.texts_bytes + sum(source.bytes for source in self.sources)

    @property
    def lack_of_space(self) -> str | None:
        """A phrase without its subject: "needs … in …, where … are free"."""
        return "; ".join(problem for space in self.space if (problem := space.problem)) or None


def listed(
    folder: Folder, sources: Sequence[str] = (), metadata_options: metadata.MetadataOptions | None = None
) -> Preview:
    """What is at a location, without the state of the database.

    Raises:
        DatasetError: there is no dataset, or it cannot be read.
    """
    kind = format_of(folder, tuple(sources))
    if kind is Format.NATIVE:
        return _native(folder, read.read_manifest(folder))
    try:
        return _public(folder, kind, source_folders(folder, list(sources)), metadata_options)
    except OSError as error:
        raise DatasetError(folder.root, f"cannot be listed ({error})") from error


def _native(folder: Folder, manifest: Manifest) -> Preview:
    corpus, found = manifest.corpus, []
    for source in manifest.source_set.sources:
        entries = [*source.features, *(entry for entry in (source.explanations, source.scores) if entry)]
        features = sum(entry.rows for entry in source.features)
        found.append(PreviewSource(source.id, features, len(entries), sum(entry.bytes for entry in entries), False))
    texts = sum(entry.bytes for entry in (corpus.documents, corpus.vocabulary, *corpus.context_files))
    return Preview(str(folder), Format.NATIVE, manifest.model.id, manifest.source_set.id, found, texts)


def _public(
    folder: Folder, kind: Format, sources: list[SourceFolder], metadata_options: metadata.MetadataOptions | None
) -> Preview:
    found = []
    for source in sources:
        size = sum(source.folder.size(batch.path) or 0 for batch in source.batches)
        found.append(PreviewSource(source.id, None, len(source.batches), size, False))
    options = metadata_options or metadata.MetadataOptions()
    try:
        rows = metadata.read_all_rows(sources, options)[0][1]
    except DatasetError as error:
        return Preview(str(folder), kind, sources[0].model_id, None, found, 0, str(error))
    shape = metadata.model_shape(rows, options)
    return Preview(str(folder), kind, rows.model_id, rows.set_id, found, 0, model_shape=shape)


async def complete(connection: asyncpg.Connection, preview: Preview, conversions: Path) -> Preview:
    """`preview` with what the database shows already, and the space that the import needs."""
    rows = await connection.fetch(
        """SELECT source.name FROM source JOIN load ON load.source_id = source.id AND load.state = 'shown'
           WHERE model_id = $1""",
        preview.model,
    )
    shown = {row["name"] for row in rows}
    sources = [
        PreviewSource(source.id, source.features, source.files, source.bytes, source.id in shown)
        for source in preview.sources
    ]
    converted = preview.format is not Format.NATIVE
    parquet = int(preview.bytes * PUBLIC_SHARE) if converted else preview.bytes
    space = [await _space_of_database(connection, parquet)]
    if converted:
        space.append(Space(str(conversions), CONVERSION_FACTOR * preview.bytes, free_in(conversions)))
    return replace(preview, sources=sources, space=space)


async def check_space(connection: asyncpg.Connection, folder: Folder, manifest: Manifest) -> None:
    """
    Raises:
        DatasetError: the database's disk, where it is of this machine, has not enough space for a native dataset.
    """
    problem = (await _space_of_database(connection, _native(folder, manifest).bytes)).problem
    if problem:
        raise DatasetError(folder.root, f"{problem}; free some, import fewer sources at a time, or {ANYWAY}")


async def _space_of_database(connection: asyncpg.Connection, parquet: int) -> Space:
    """What an import of `parquet` bytes of Parquet files needs."""
    (row,) = await connection.fetch("SELECT pg_size_bytes(current_setting('max_wal_size')) AS log")
    needed = int(DATABASE_FACTOR * parquet) + min(LOG_FACTOR * parquet, row["log"])
    return Space("the database", needed, await free_in_database(connection))


async def free_in_database(connection: asyncpg.Connection) -> int | None:
    """Bytes free on the disk of the database; None where it is on another machine, or its folder is not accessible."""
    try:
        folder = await connection.fetchval(
            "SELECT CASE WHEN inet_server_addr() IS NULL THEN current_setting('data_directory') END"
        )
    except asyncpg.InsufficientPrivilegeError:
        return None
    return await asyncio.to_thread(_free_in_existing, Path(folder)) if folder else None


def _free_in_existing(folder: Path) -> int | None:
    try:
        return free_in(folder) if folder.is_dir() else None
    except PermissionError:
        # of a PostgreSQL of another user, in a folder that is closed to others
        return None


def free_in(folder: Path) -> int:
    """Bytes free for new files in a folder, which may not exist yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free
