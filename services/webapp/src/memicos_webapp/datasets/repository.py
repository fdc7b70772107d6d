"""SQL of imports, over a plain asyncpg connection, which has COPY."""

import asyncio
import json
import logging
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
from asyncpg import Connection
from memicos_dataset.manifest import Corpus, Manifest
from memicos_dataset.schema import REQUEST_COLUMNS

from memicos_webapp.database.errors import DRIVER_ERRORS
from memicos_webapp.datasets.plan import CatalogueState, ShownSource
from memicos_webapp.datasets.stored_rows.binary_copy import HEADER, TRAILER, Chunk
from memicos_webapp.datasets.stored_rows.known_explanations import KnownExplanations, Request

log = logging.getLogger(__name__)

FETCHED_ROWS = 1024
"""Rows of a cursor that are in memory at once."""
_RELEASE_COLUMNS = {"id", "name", "description", "creator", "url"}
_REQUEST = ", ".join(REQUEST_COLUMNS)
_MODEL_COLUMNS = {"id", "name", "layers", "d_model", "vocabulary_size", "chat", "origin", "license", "url"}


@dataclass(frozen=True)
class StagedLoad:
    """A load that an import is writing; `corpus_id` is None until the texts are stored."""

    name: str
    source_id: int
    load_id: int
    corpus_id: int | None
    state: str


async def _integer(connection: Connection, sql: str, *values: object) -> int:
    """The value of a statement that always returns one integer."""
    value = await connection.fetchval(sql, *values)
    assert isinstance(value, int)
    return value


async def is_shown(connection: Connection, manifest: Manifest, sha256: str) -> bool:
    """Whether every source of the manifest shows a load of the manifest with this sha256, and can be verified: loads
    of older versions cannot."""
    names = [source.id for source in manifest.source_set.sources]
    count = await _integer(
        connection,
        """SELECT count(*) FROM source JOIN load ON load.source_id = source.id AND load.state = 'shown'
           WHERE source.model_id = $1 AND source.name = ANY($2) AND load.manifest_sha256 = $3
             AND EXISTS (SELECT FROM load_part WHERE load_id = load.id)""",
        manifest.model.id,
        names,
        sha256,
    )
    return count == len(names)


async def catalogue_state(connection: Connection, manifest: Manifest) -> CatalogueState:
    """Read what the database has for the model, the set and the sources of a manifest."""
    model_id = manifest.model.id
    sources = await connection.fetch(
        """SELECT source.id, source.name, source_set.name AS set_name
           FROM source JOIN source_set ON source_set.id = source.source_set_id
           JOIN load ON load.source_id = source.id AND load.state = 'shown'
           WHERE source.model_id = $1 ORDER BY source.layer, source.name""",
        model_id,
    )
    model = await connection.fetchrow("SELECT layers, d_model, vocabulary_size FROM model WHERE id = $1", model_id)
    release_id = await connection.fetchval(
        "SELECT release_id FROM source_set WHERE model_id = $1 AND name = $2", model_id, manifest.source_set.id
    )
    return CatalogueState(
        [ShownSource(row["id"], row["name"], row["set_name"]) for row in sources],
        None if model is None else (model["layers"], model["d_model"], model["vocabulary_size"]),
        release_id,
    )


async def add_missing_entries(connection: Connection, manifest: Manifest) -> dict[str, int]:
    """Add release, model, set and sources that do not exist yet; returns source name -> id.

    Entries that exist stay as they are until the load is shown (`update_entries`).
    """
    return await _write_entries(connection, manifest, update=False)


async def update_entries(connection: Connection, manifest: Manifest) -> dict[str, int]:
    """Make release, model, set and sources what the manifest says; returns source name -> id."""
    return await _write_entries(connection, manifest, update=True)


async def _write_entries(connection: Connection, manifest: Manifest, update: bool) -> dict[str, int]:
    release, model, source_set = manifest.release, manifest.model, manifest.source_set

    async def write(table: str, key: tuple[str, ...], row: dict[str, object]) -> None:
        columns = [name for name in row if name not in key]
        changes = ", ".join(f"{name} = excluded.{name}" for name in columns)
        values = ", ".join(f"${number}" for number in range(1, len(row) + 1))
        action = f"UPDATE SET {changes}" if update else "NOTHING"
        await connection.execute(
            f"""INSERT INTO {table} ({", ".join(row)}) VALUES ({values})
                ON CONFLICT ({", ".join(key)}) DO {action}""",  # noqa: S608 (names are constants)
            *row.values(),
        )

    # other keys are of newer minor versions of the format
    await write("release", ("id",), release.model_dump(include=_RELEASE_COLUMNS))
    await write("model", ("id",), model.model_dump(include=_MODEL_COLUMNS))
    name = ("model_id", "name")
    await write(
        "source_set",
        name,
        {
            "model_id": model.id,
            "name": source_set.id,
            "release_id": release.id,
            "title": source_set.name,
            "description": source_set.description,
        },
    )
    set_id = await _integer(
        connection, "SELECT id FROM source_set WHERE model_id = $1 AND name = $2", model.id, source_set.id
    )
    for source in source_set.sources:
        row = {"model_id": model.id, "name": source.id, "source_set_id": set_id, "layer": source.layer}
        await write("source", name, row)
    names = [source.id for source in source_set.sources]
    ids = await connection.fetch("SELECT name, id FROM source WHERE model_id = $1 AND name = ANY($2)", model.id, names)
    return {row["name"]: row["id"] for row in ids}


async def add_loads(
    connection: Connection, manifest: Manifest, source_ids: Mapping[str, int], sha256: str, import_id: int
) -> dict[str, int]:
    """Add a staging load for each source; returns source name -> load id."""
    return {
        source.id: await _integer(
            connection,
            """INSERT INTO load (source_id, state, import_id, manifest_sha256, features, dead_features, counted_tokens,
                 architecture, d_in, d_sae, logit_effect, recipe, sae_config, residual_norm)
               VALUES ($1, 'staging', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::jsonb, $12::jsonb, $13)
               RETURNING id""",
            source_ids[source.id],
            import_id,
            sha256,
            sum(entry.rows for entry in source.features),
            source.dead_features,
            source.counted_tokens,
            source.architecture,
            source.d_in,
            source.d_sae,
            source.logit_effect,
            source.recipe.model_dump_json(),
            json.dumps(source.sae_config),
            source.residual_norm,
        )
        for source in manifest.source_set.sources
    }


async def add_corpus(connection: Connection, corpus: Corpus, digest: str) -> int | None:
    """Add a corpus and return its id; None where one with this digest exists.

    Waits for another import that is adding the same corpus.
    """
    return await connection.fetchval(
        """INSERT INTO corpus (name, digest, description, contexts, context_size, tokens, collections, tokenizer_ids)
           VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, $8) ON CONFLICT (digest) DO NOTHING RETURNING id""",
        corpus.id,
        digest,
        corpus.description,
        corpus.contexts,
        corpus.context_size,
        corpus.tokens,
        json.dumps([collection.model_dump() for collection in corpus.collections]),
        corpus.token_ids == "tokenizer",
    )


async def corpus_id(connection: Connection, digest: str) -> int:
    return await _integer(connection, "SELECT id FROM corpus WHERE digest = $1", digest)


async def set_digest(connection: Connection, corpus: int, digest: int) -> None:
    """Note the digest of a corpus' contexts and vocabulary."""
    await connection.execute("UPDATE corpus SET digest_of_rows = $2 WHERE id = $1", corpus, digest)


async def keep_manifest(connection: Connection, manifest: Manifest, sha256: str) -> None:
    """Store a manifest, unless it is stored."""
    await connection.execute(
        "INSERT INTO dataset_manifest (sha256, content) VALUES ($1, $2::jsonb) ON CONFLICT DO NOTHING",
        sha256,
        manifest.model_dump_json(),
    )


async def set_corpus(connection: Connection, load_ids: Sequence[int], corpus: int) -> None:
    await connection.execute("UPDATE load SET corpus_id = $2 WHERE id = ANY($1)", load_ids, corpus)


async def delete_failed_loads(connection: Connection, source_ids: Sequence[int]) -> None:
    """Delete records of failed imports of these sources."""
    await connection.execute("DELETE FROM load WHERE state = 'failed' AND source_id = ANY($1)", source_ids)


async def staged_loads(connection: Connection, manifest: Manifest, import_id: int) -> list[StagedLoad]:
    """Loads that an interrupted import has begun, in the order of the manifest; empty where it has none."""
    rows = await connection.fetch(
        """SELECT source.name, source.id AS source_id, load.id AS load_id, load.corpus_id, load.state::text
           FROM load JOIN source ON source.id = load.source_id WHERE load.import_id = $1""",
        import_id,
    )
    found = {row["name"]: StagedLoad(**row) for row in rows}
    return [found[source.id] for source in manifest.source_set.sources if source.id in found]


async def delete_other_loads(connection: Connection, import_id: int, sha256: str) -> None:
    """Delete loads that an import began for another manifest."""
    await connection.execute(
        """DELETE FROM load WHERE import_id = $1 AND manifest_sha256 <> $2 AND state IN ('staging', 'verified')""",
        import_id,
        sha256,
    )


async def count_features(connection: Connection, load_id: int, features: int) -> None:
    """Record how many features a load has, where rows were left out."""
    await connection.execute("UPDATE load SET features = $2 WHERE id = $1", load_id, features)


async def stored_indices(connection: Connection, load_id: int) -> list[int]:
    """Indices of the features that a load has."""
    return [row["index"] for row in await connection.fetch("SELECT index FROM feature WHERE load_id = $1", load_id)]


async def copy(
    connection: Connection, table: str, columns: Sequence[str], records: AsyncIterable[tuple[Any, ...]]
) -> None:
    await connection.copy_records_to_table(table, records=records, columns=columns)


async def copy_binary(connection: Connection, table: str, columns: Sequence[str], chunks: AsyncIterable[Chunk]) -> None:
    """Copy rows that are in PostgreSQL's binary format."""

    async def content() -> AsyncIterator[bytes]:
        yield HEADER
        async for chunk in chunks:
            yield chunk.content
        yield TRAILER

    await connection.copy_to_table(table, source=content(), columns=list(columns), format="binary")


async def allow_waiting(connection: Connection) -> None:
    """Let the transaction of `connection` wait and last as long as it takes, whatever limits the server has."""
    # PostgreSQL 16 does not have the second one
    await connection.execute(
        """SELECT set_config(name, '0', true) FROM pg_settings
           WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')"""
    )


async def has_explanations(connection: Connection, source_id: int) -> bool:
    """Whether a source has explanations that came with a dataset."""
    statement = "SELECT EXISTS (SELECT FROM explanation WHERE source_id = $1 AND author_id IS NULL)"
    return bool(await connection.fetchval(statement, source_id))


async def known_explanations(connection: Connection, source_id: int) -> KnownExplanations:
    """The explanations without an author of a source. Called in a transaction."""
    known = KnownExplanations()
    cursor = await connection.cursor(
        f"""SELECT id, index, description, method, model, {_REQUEST} FROM explanation
            WHERE source_id = $1 AND author_id IS NULL""",  # noqa: S608 (constants)
        source_id,
    )
    while rows := await cursor.fetch(FETCHED_ROWS):
        await asyncio.to_thread(known.add, rows)
    known.complete()
    return known


async def explanation_ids(connection: Connection, count: int) -> list[int]:
    """Ids for new explanations."""
    ids = await connection.fetchval(
        """SELECT array_agg(nextval(sequence))
           FROM (SELECT pg_get_serial_sequence('explanation', 'id')::regclass AS sequence) AS own,
             generate_series(1, $1)""",
        count,
    )
    return ids or []


async def change_requests(connection: Connection, changed: Iterable[tuple[int, Request]]) -> None:
    """Store what a dataset says now of the requests of explanations."""
    values = ", ".join(f"${number}" for number in range(2, 2 + len(REQUEST_COLUMNS)))
    await connection.executemany(
        f"UPDATE explanation SET ({_REQUEST}) = ROW({values}) WHERE id = $1",  # noqa: S608 (constants)
        [(number, *(request[name] for name in REQUEST_COLUMNS)) for number, request in changed],
    )


async def delete_explanations(connection: Connection, ids: Sequence[int]) -> None:
    await connection.execute("DELETE FROM explanation WHERE id = ANY($1)", ids)


async def delete_scores(connection: Connection, source_id: int) -> None:
    """Delete the scores without an author of a source."""
    await connection.execute(
        """DELETE FROM score USING explanation e
           WHERE score.explanation_id = e.id AND score.author_id IS NULL AND e.source_id = $1""",
        source_id,
    )


async def analyse_rows(connection: Connection) -> None:
    """Update the planner's statistics of features and texts. PostgreSQL does so by itself later, but never for small
    tables.

    Those of the lists of features and contexts, which no statement compares, take longest, and are left out. Errors are
    logged only: what is imported is complete without statistics.
    """
    await _analyse(
        connection,
        """feature (load_id, index, density, active_tokens, max_activation),
           context (corpus_id, number, document), document, vocabulary""",
    )


async def analyse_catalogue(connection: Connection) -> None:
    """Update the planner's statistics of what is changed when loads are shown; errors are logged only.

    Those of the scores' lists, which no statement compares, are left out.
    """
    await _analyse(
        connection,
        "explanation, score (id, explanation_id, corpus_id, author_id, created_at, method, model, value), load, source",
    )


async def _analyse(connection: Connection, tables: str) -> None:
    try:
        await connection.execute(f"ANALYZE {tables}")
    except (asyncpg.PostgresError, *DRIVER_ERRORS, OSError) as error:
        log.warning("the planner's statistics of the import could not be updated: %s", error)
