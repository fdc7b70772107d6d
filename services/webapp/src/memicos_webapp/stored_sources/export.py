"""Exports: stored sources of a set as a dataset, native or in the public layout, on this machine's disk.

All rows are of one snapshot of the database, whatever an import replaces meanwhile. Memory does not grow with a source:
rows are read and written in batches. An import of an export stores what the export was made of.
"""

import asyncio
import errno
import json
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import asyncpg
import pyarrow as pa
import pyarrow.parquet as pq
from asyncpg import Connection
from memicos_dataset import manifest as m
from memicos_dataset import schema
from memicos_dataset.conversion.conversion_folder import Options
from memicos_dataset.conversion.public import to_public
from memicos_dataset.errors import DatasetError
from memicos_dataset.wording import quantity
from memicos_dataset.write import CONTEXTS_PER_FILE, FAST_LEVEL, FEATURES_PER_FILE, ROW_GROUP_ROWS, file_entry

from memicos_webapp.errors import Conflict, InsufficientStorage, NotConfigured
from memicos_webapp.stored_sources import export_rows
from memicos_webapp.stored_sources.export_rows import FETCHED, UnknownTokenError
from memicos_webapp.stored_sources.selection import Selection

Report = Callable[[str], Any]


_FULL = (errno.ENOSPC, errno.EDQUOT)


class ExportFormat(StrEnum):
    NATIVE = "native"
    PUBLIC = "public"


@contextmanager
def write_errors(folder: Path, elsewhere: str) -> Iterator[None]:
    """For what writes exports to `folder`; `elsewhere` says how to choose another folder.

    Raises:
        InsufficientStorage: the disk is full.
        NotConfigured: the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        # of the database's connection, not of a file
        if isinstance(error, ConnectionError | TimeoutError) or error.errno is None:
            raise
        if error.errno in _FULL:
            raise InsufficientStorage(f"The disk of {folder} is full: free some space, or {elsewhere}.") from error
        raise NotConfigured(
            f"Exports cannot be written to {folder} ({error}): make it a folder that this program's user may write, "
            f"or {elsewhere}."
        ) from error


async def export(connection: Connection, chosen: Selection, out: Path, kind: ExportFormat, report: Report) -> None:
    """Write sources as a dataset to `out`, which appears when it is complete; what was there is replaced.

    Raises:
        Conflict: the sources have different texts, an older version imported them, without what an export needs, or the
            format has no place for what they have.
        OSError: `out` cannot be written; see `write_errors`.
    """
    work = out.with_name(f".{out.name}.export")
    await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)
    native = work / "native"
    await asyncio.to_thread(native.mkdir, parents=True)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await _write(connection, chosen, native, report)
        result = native
        if kind is ExportFormat.PUBLIC:
            result = work / "public"
            await _to_public(native, result, report)
        await asyncio.to_thread(shutil.rmtree, out, ignore_errors=True)
        await asyncio.to_thread(result.rename, out)
    except (DatasetError, UnknownTokenError) as error:
        raise Conflict(f"{chosen.label} cannot be exported: {error}.") from error
    finally:
        await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)


async def _to_public(native: Path, out: Path, report: Report) -> None:
    """Convert a dataset in a thread, which ends at the next source where the export is cancelled."""
    stop = threading.Event()

    def report_or_stop(line: str) -> None:
        if stop.is_set():
            raise InterruptedError("the export was cancelled")
        report(line)

    converting = asyncio.ensure_future(asyncio.to_thread(to_public, native, out, Options(), report_or_stop))
    try:
        await asyncio.shield(converting)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait({converting})
        raise


async def _write(connection: Connection, chosen: Selection, folder: Path, report: Report) -> None:
    loads = await connection.fetch(
        """SELECT load.*, source.name, dataset_manifest.content FROM source
           JOIN load ON load.source_id = source.id AND load.state = 'shown'
           LEFT JOIN dataset_manifest ON dataset_manifest.sha256 = load.manifest_sha256
           WHERE model_id = $1 AND name = ANY($2) ORDER BY layer, name""",
        chosen.model,
        chosen.sources,
    )
    if not loads or any(load["content"] is None for load in loads):
        raise Conflict(f"{chosen.label} was imported by an older version; import it again to export it.")
    corpora = {load["corpus_id"] for load in loads}
    if len(corpora) > 1:
        raise Conflict(f"The sources of {chosen.label} have different texts; export each source by itself.")
    (corpus_id,) = corpora
    manifests = [m.Manifest.model_validate(json.loads(load["content"])) for load in loads]
    base = manifests[0]
    vocabulary = await connection.fetch(
        "SELECT token, token_id FROM vocabulary WHERE corpus_id = $1 ORDER BY token_id DESC", corpus_id
    )
    # of the same string the smallest id, which comes last
    ids = {row["token"]: row["token_id"] for row in vocabulary}
    sources = []
    for load, manifest in zip(loads, manifests, strict=True):
        source = next(own for own in manifest.source_set.sources if own.id == load["name"])
        sources.append(await _source(connection, folder, load, source, ids))
        report(f"{chosen.model}/{load['name']}: {quantity(load['features'], 'feature')}")
    corpus = await _corpus(connection, folder, corpus_id, base.corpus)
    rows = [(row["token_id"], row["token"]) for row in vocabulary]
    corpus.vocabulary = await asyncio.to_thread(_vocabulary, folder, rows)
    source_set = base.source_set.model_copy(update={"sources": sources})
    base.model_copy(update={"version": m.VERSION, "corpus": corpus, "source_set": source_set}).write(folder)


async def _source(
    connection: Connection, folder: Path, load: asyncpg.Record, source: m.Source, ids: Mapping[str, int]
) -> m.Source:
    rows = export_rows.batches(
        connection, "SELECT * FROM feature WHERE load_id = $1 ORDER BY index", load["id"], size=FETCHED
    )
    has_attributions = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM feature WHERE load_id = $1 AND example_dfa_lengths <> '')", load["id"]
    )
    columns = export_rows.ATTRIBUTED if has_attributions else schema.FEATURES
    features = [
        entry
        async for entry in _files(
            folder,
            f"{source.id}/features",
            columns,
            FEATURES_PER_FILE,
            (await asyncio.to_thread(export_rows.feature_table, batch, ids, columns) async for batch in rows),
        )
    ]
    numbers: dict[int, int] = {}

    async def explanations() -> AsyncIterator[pa.Table]:
        statement = """SELECT * FROM explanation WHERE source_id = $1 AND author_id IS NULL ORDER BY index, id"""
        async for batch in export_rows.batches(connection, statement, load["source_id"], size=ROW_GROUP_ROWS):
            numbers.update({row["id"]: len(numbers) + i for i, row in enumerate(batch)})
            yield export_rows.explanation_table(batch, columns_of_explanations)

    async def scores() -> AsyncIterator[pa.Table]:
        statement = """SELECT score.* FROM score JOIN explanation ON explanation.id = explanation_id
                       WHERE source_id = $1 AND score.author_id IS NULL AND explanation.author_id IS NULL
                       ORDER BY score.id"""
        async for batch in export_rows.batches(connection, statement, load["source_id"], size=FETCHED):
            yield export_rows.score_table(batch, numbers, columns_of_scores)

    columns_of_explanations = schema.EXPLANATION_TABLE.with_optional(
        schema.REQUEST_COLUMNS if await _says_of_requests(connection, "explanation", load["source_id"]) else ()
    )
    detailed = await connection.fetchval(
        """SELECT EXISTS (SELECT FROM score JOIN explanation ON explanation.id = explanation_id
                          WHERE source_id = $1 AND score.author_id IS NULL AND text_details IS NOT NULL)""",
        load["source_id"],
    )
    asked = await _says_of_requests(connection, "score", load["source_id"])
    columns_of_scores = schema.SCORE_TABLE.with_optional(
        [*(schema.SCORED_TEXT_DETAILS if detailed else ()), *(schema.REQUEST_COLUMNS if asked else ())]
    )
    path = f"{source.id}/explanations"
    texts = [entry async for entry in _files(folder, path, columns_of_explanations, None, explanations())]
    scored = [entry async for entry in _files(folder, f"{source.id}/scores", columns_of_scores, None, scores())]
    return source.model_copy(
        update={"features": features, "explanations": next(iter(texts), None), "scores": next(iter(scored), None)}
    )


async def _says_of_requests(connection: Connection, table: Literal["explanation", "score"], source_id: int) -> bool:
    """Whether anything is known of the requests of a dataset's explanations or scores."""
    names = ", ".join(f"{table}.{name}" for name in schema.REQUEST_COLUMNS)
    of_source = "explanation" if table == "explanation" else "score JOIN explanation ON explanation.id = explanation_id"
    found = await connection.fetchval(
        f"""SELECT EXISTS (SELECT FROM {of_source}
                           WHERE source_id = $1 AND {table}.author_id IS NULL
                             AND num_nonnulls({names}) > 0)""",  # noqa: S608 (constants)
        source_id,
    )
    return bool(found)


async def _corpus(connection: Connection, folder: Path, corpus_id: int, corpus: m.Corpus) -> m.Corpus:
    async def documents() -> AsyncIterator[pa.Table]:
        statement = "SELECT number AS document, title, collection FROM document WHERE corpus_id = $1 ORDER BY number"
        async for batch in export_rows.batches(connection, statement, corpus_id, size=ROW_GROUP_ROWS):
            yield pa.Table.from_pylist([dict(row) for row in batch], schema=schema.DOCUMENTS)

    async def contexts() -> AsyncIterator[pa.Table]:
        statement = "SELECT * FROM context WHERE corpus_id = $1 ORDER BY number"
        async for batch in export_rows.batches(connection, statement, corpus_id, size=ROW_GROUP_ROWS):
            yield await asyncio.to_thread(export_rows.context_table, batch)

    (own,) = [entry async for entry in _files(folder, "corpus/documents", schema.DOCUMENTS, None, documents())]
    files = [entry async for entry in _files(folder, "corpus/contexts", schema.CONTEXTS, CONTEXTS_PER_FILE, contexts())]
    return corpus.model_copy(update={"documents": own, "context_files": files})


def _vocabulary(folder: Path, rows: list[tuple[int, str]]) -> m.FileEntry:
    path = "corpus/vocabulary.parquet"
    ordered = sorted(rows)
    table = pa.Table.from_pydict(
        {"token_id": [i for i, _ in ordered], "token": [t for _, t in ordered]}, schema=schema.VOCABULARY
    )
    pq.write_table(table, folder / path, compression="zstd", compression_level=FAST_LEVEL)
    return file_entry(folder, path, len(table))


async def _files(
    folder: Path, name: str, columns: pa.Schema, rows_per_file: int | None, tables: AsyncIterator[pa.Table]
) -> AsyncIterator[m.FileEntry]:
    """Write tables as `<name>.parquet`, or as `<name>-00000.parquet` and so on with at most about `rows_per_file` rows
    in each; none where there are no rows."""
    number, rows, writer, path = 0, 0, None, ""
    async for table in tables:
        if writer is None:
            path = f"{name}-{number:05}.parquet" if rows_per_file else f"{name}.parquet"
            writer = await asyncio.to_thread(_open, folder / path, columns)
        await asyncio.to_thread(writer.write_table, table)
        rows += len(table)
        if rows_per_file and rows >= rows_per_file:
            writer.close()
            yield await asyncio.to_thread(file_entry, folder, path, rows)
            number, rows, writer = number + 1, 0, None
    if writer is not None:
        writer.close()
        yield await asyncio.to_thread(file_entry, folder, path, rows)


def _open(path: Path, columns: pa.Schema) -> pq.ParquetWriter:
    path.parent.mkdir(parents=True, exist_ok=True)
    return pq.ParquetWriter(path, columns, compression="zstd", compression_level=FAST_LEVEL)
