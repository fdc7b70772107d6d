"""SQL of imports, over a bare asyncpg connection: COPY is what makes them quick."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from asyncpg import Connection
from memicos_dataset.manifest import Corpus, Manifest, Source

LOCK = 0x6C6F6164
"""Advisory lock ("load"): one import at a time."""


async def lock(connection: Connection) -> None:
    """Wait for the right to import; held until the connection closes."""
    await connection.execute("SELECT pg_advisory_lock($1)", LOCK)


async def _integer(connection: Connection, sql: str, *values: object) -> int:
    """The one value of a statement that always returns one."""
    value = await connection.fetchval(sql, *values)
    assert isinstance(value, int)
    return value


async def shown(connection: Connection, model_id: str, names: Sequence[str], digest: str) -> int:
    """How many of the sources already show the load of the manifest with this sha256."""
    return await _integer(
        connection,
        """SELECT count(*) FROM source JOIN load ON load.id = source.current_load_id
           WHERE source.model_id = $1 AND source.name = ANY($2) AND load.manifest_sha256 = $3""",
        model_id,
        names,
        digest,
    )


async def describe(connection: Connection, manifest: Manifest) -> dict[str, int]:
    """Write model, release, set and sources as the manifest has them; returns source name -> id."""
    release, model, of_set = manifest.release, manifest.model, manifest.source_set
    await connection.execute(
        """INSERT INTO release (id, name, description, creator, url) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (id) DO UPDATE SET name = excluded.name, description = excluded.description,
             creator = excluded.creator, url = excluded.url""",
        release.id,
        release.name,
        release.description,
        release.creator,
        release.url,
    )
    await connection.execute(
        """INSERT INTO model (id, name, layers, d_model, vocabulary_size, chat, origin, license, url)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
           ON CONFLICT (id) DO UPDATE SET name = excluded.name, layers = excluded.layers,
             d_model = excluded.d_model, vocabulary_size = excluded.vocabulary_size, chat = excluded.chat,
             origin = excluded.origin, license = excluded.license, url = excluded.url""",
        model.id,
        model.name,
        model.layers,
        model.d_model,
        model.vocabulary_size,
        model.chat,
        model.origin,
        model.license,
        model.url,
    )
    set_id = await _integer(
        connection,
        """INSERT INTO source_set (model_id, name, release_id, title, description) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (model_id, name) DO UPDATE SET release_id = excluded.release_id,
             title = excluded.title, description = excluded.description RETURNING id""",
        model.id,
        of_set.id,
        release.id,
        of_set.name,
        of_set.description,
    )
    return {
        source.id: await _integer(
            connection,
            """INSERT INTO source (model_id, name, source_set_id, layer) VALUES ($1, $2, $3, $4)
               ON CONFLICT (model_id, name) DO UPDATE SET source_set_id = excluded.source_set_id,
                 layer = excluded.layer RETURNING id""",
            model.id,
            source.id,
            set_id,
            source.layer,
        )
        for source in of_set.sources
    }


async def corpus_id(connection: Connection, digest: str) -> int | None:
    return await connection.fetchval("SELECT id FROM corpus WHERE digest = $1", digest)


async def add_corpus(connection: Connection, corpus: Corpus, digest: str) -> int:
    return await _integer(
        connection,
        """INSERT INTO corpus (name, digest, description, contexts, context_size, tokens, collections)
           VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb) RETURNING id""",
        corpus.id,
        digest,
        corpus.description,
        corpus.contexts,
        corpus.context_size,
        corpus.tokens,
        json.dumps([collection.model_dump() for collection in corpus.collections]),
    )


async def add_load(connection: Connection, source: Source, source_id: int, corpus: int, digest: str) -> int:
    return await _integer(
        connection,
        """INSERT INTO load (source_id, corpus_id, manifest_sha256, features, dead_features, counted_tokens,
             architecture, d_in, d_sae, logit_effect, recipe, sae_config, residual_norm)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::jsonb, $12::jsonb, $13) RETURNING id""",
        source_id,
        corpus,
        digest,
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


async def copy(connection: Connection, table: str, columns: Sequence[str], records: Iterable[tuple[Any, ...]]) -> None:
    await connection.copy_records_to_table(table, records=records, columns=columns)


async def count_contexts(connection: Connection, corpus: int) -> int:
    return await _integer(connection, "SELECT count(*) FROM context WHERE corpus_id = $1", corpus)


async def count_features(connection: Connection, load_id: int) -> int:
    return await _integer(connection, "SELECT count(*) FROM feature WHERE load_id = $1", load_id)


async def stage_explanations(connection: Connection) -> None:
    """A table `incoming` for the explanations of an import, gone with the transaction."""
    await connection.execute(
        """CREATE TEMPORARY TABLE incoming
             (source_id integer, index integer, description text, method text, model text) ON COMMIT DROP"""
    )


async def merge_explanations(connection: Connection, source_ids: Sequence[int]) -> None:
    """Make the sources' explanations without an author those of `incoming`; equal ones stay as they are."""
    equal = """a.source_id = b.source_id AND a.index = b.index AND a.description = b.description
               AND a.method = b.method AND a.model IS NOT DISTINCT FROM b.model"""
    await connection.execute(
        f"""DELETE FROM explanation a WHERE author_id IS NULL AND source_id = ANY($1)
            AND NOT EXISTS (SELECT FROM incoming b WHERE {equal})""",  # noqa: S608 (constants)
        source_ids,
    )
    await connection.execute(
        f"""INSERT INTO explanation (source_id, index, description, method, model)
            SELECT DISTINCT * FROM incoming a
            WHERE NOT EXISTS (SELECT FROM explanation b WHERE author_id IS NULL AND {equal})
            ORDER BY source_id, index"""  # noqa: S608 (constants)
    )


async def show(connection: Connection, load_ids: dict[int, int]) -> None:
    """Let readers see these loads (source id -> load id) from now on: one UPDATE."""
    await connection.execute(
        """UPDATE source SET current_load_id = new.load_id
           FROM unnest($1::int[], $2::bigint[]) AS new (source_id, load_id)
           WHERE source.id = new.source_id""",
        list(load_ids.keys()),
        list(load_ids.values()),
    )


async def sweep(connection: Connection) -> None:
    """Delete loads that no source shows, and corpora that no load needs."""
    await connection.execute(
        "DELETE FROM load WHERE NOT EXISTS (SELECT FROM source WHERE source.current_load_id = load.id)"
    )
    await connection.execute("DELETE FROM corpus WHERE NOT EXISTS (SELECT FROM load WHERE load.corpus_id = corpus.id)")


async def analyse(connection: Connection) -> None:
    """Count what the planner should know. PostgreSQL does it by itself later, but for small tables never."""
    await connection.execute("ANALYZE feature, context, document, explanation, load, source")
