"""Migrations create the tables that the models describe, once, even if several processes start at once."""

import asyncio
import itertools

import pytest
from memicos_testing.webapp.database import connected, execute, fetch
from memicos_testing.webapp.revisions import downgrade, upgrade
from memicos_webapp.database.check import check
from memicos_webapp.database.errors import DatabaseError
from memicos_webapp.database.migrate import migrate
from memicos_webapp.database.packed_numbers import pack_integers, pack_reals, unpack
from memicos_webapp.datasets.stored_rows.row_digests import CONTEXTS_SQL, FEATURES_SQL


async def test_migrations_match_the_models(fresh_url: str) -> None:
    assert await check(fresh_url) == []


async def test_migrating_twice_at_once_is_harmless(fresh_url: str) -> None:
    await asyncio.gather(*(migrate(fresh_url) for _ in range(3)))


async def test_a_database_of_a_newer_memicos_is_refused(fresh_url: str) -> None:
    await execute(fresh_url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseError, match="migrated by a newer memicos"):
        await migrate(fresh_url)


async def test_loads_of_an_older_database_get_states(server_url: str) -> None:
    url = server_url.replace("/postgres?", "/older?")
    async with connected(server_url) as connection:
        await connection.execute("CREATE DATABASE older")
    await upgrade(url, "0003")
    async with connected(url) as connection:
        await connection.execute(OLDER)
    await upgrade(url, "0004")
    rows = await fetch(url, "SELECT id, state::text, retired_at IS NULL FROM load ORDER BY id")
    assert [tuple(row) for row in rows] == [(1, "retired", False), (2, "shown", True), (3, "retired", False)]
    await downgrade(url, "0003")
    assert [row["id"] for row in await fetch(url, "SELECT id FROM load")] == [2]


async def test_lists_of_an_older_database_are_packed(server_url: str) -> None:
    """As imports pack them, with digests that a verification finds, and with numbers for strings that had no ids."""
    url = server_url.replace("/postgres?", "/unpacked?")
    async with connected(server_url) as connection:
        await connection.execute("CREATE DATABASE unpacked")
    await upgrade(url, "0031")
    async with connected(url) as connection:
        await connection.execute(UNPACKED)
        for index, (ids, floats) in enumerate(itertools.product(INTEGERS, REALS)):
            small = [max(-(1 << 15), min(number, (1 << 15) - 1)) for number in ids]
            await connection.execute(UNPACKED_FEATURE, index, ids, small, floats)
    await migrate(url)
    async with connected(url) as connection:
        for row in await connection.fetch("SELECT * FROM feature ORDER BY index"):
            ids, floats = INTEGERS[row["index"] // len(REALS)], REALS[row["index"] % len(REALS)]
            small = [max(-(1 << 15), min(number, (1 << 15) - 1)) for number in ids]
            assert (row["example_contexts"], row["values"]) == (pack_integers(ids), pack_reals(floats))
            assert (row["value_positions"], row["dfa_values"]) == (pack_integers(small), b"")
            assert row["positive_logits"] == [1.5, 0.5]
        contexts = await connection.fetch("SELECT corpus_id, token_ids FROM context ORDER BY corpus_id, number")
        assert [tuple(row) for row in contexts] == [
            (1, pack_integers([5, 300])),
            (2, pack_integers([8, 9])),
            (2, pack_integers([10, 8])),
            (3, pack_integers([0, 0, 2])),
            (3, pack_integers([0, 0, 1])),
        ]
        vocabulary = await connection.fetch("SELECT * FROM vocabulary ORDER BY corpus_id, token_id")
        assert [tuple(row) for row in vocabulary] == [
            (1, 5, " a"), (1, 300, " b"), (2, 8, " x"), (2, 9, " y"), (2, 10, " z"), (3, 0, ""), (3, 1, "人"),
            (3, 2, "今"),
        ]  # fmt: skip
        corpora = await connection.fetch("SELECT tokenizer_ids, digest FROM corpus ORDER BY id")
        assert [tuple(row) for row in corpora] == [(True, "1"), (False, "2"), (False, "without vocabulary 3")]
        features = await connection.fetchrow(FEATURES_SQL, 1)
        assert features and features["count"] == len(INTEGERS) * len(REALS)
        assert await connection.fetchval("SELECT digest FROM load_part") == features["digest"]
        for corpus in (1, 2):
            stored = await connection.fetchrow(CONTEXTS_SQL, corpus)
            noted = await connection.fetchval("SELECT digest_of_rows FROM corpus WHERE id = $1", corpus)
            assert stored and noted == stored["digest"] > 0
        assert await connection.fetchval("SELECT digest_of_rows FROM corpus WHERE id = 3") is None


async def test_contexts_get_numbers_of_a_large_vocabulary_in_seconds(server_url: str) -> None:
    """1,000 contexts of 128 strings, in a corpus with a vocabulary of 50,000 and in one without any."""
    url = server_url.replace("/postgres?", "/large?")
    async with connected(server_url) as connection:
        await connection.execute("CREATE DATABASE large")
        # a search of the vocabulary for each token takes minutes, a join less than a second
        await connection.execute("ALTER DATABASE large SET statement_timeout = '30s'")
    await upgrade(url, "0031")
    await execute(url, LARGE)
    await migrate(url)
    async with connected(url) as connection:
        assert (
            await connection.fetchval("SELECT count(DISTINCT token_id) FROM vocabulary WHERE corpus_id = 2") == 50_000
        )
        for corpus in (1, 2):
            strings = await connection.fetch("SELECT token_id, token FROM vocabulary WHERE corpus_id = $1", corpus)
            assert len(strings) == 50_000
            string_of = {row["token_id"]: row["token"] for row in strings}
            contexts = await connection.fetch("SELECT number, token_ids FROM context WHERE corpus_id = $1", corpus)
            assert len(contexts) == 1000
            for row in contexts:
                expected = [f" {(row['number'] * 128 + position) % 50_000}" for position in range(128)]
                assert [string_of[token] for token in unpack(row["token_ids"])] == expected


INTEGERS = ([], [0, 255], [-1, 127], [256, 65_535], [-1, 128], [65_536], [-(1 << 31), (1 << 31) - 1])
REALS = ([], [1.0, -2.5], [1.0, 1 / 3], [0.0])
UNPACKED = """
INSERT INTO model (id, name, layers, d_model, vocabulary_size, chat, origin, license)
  VALUES ('m', '', 1, 1, 1, false, '', '');
INSERT INTO release (id, name, description, creator) VALUES ('r', '', '', '');
INSERT INTO source_set (model_id, name, release_id, title, description) VALUES ('m', 's', 'r', '', '');
INSERT INTO source (model_id, name, source_set_id, layer) VALUES ('m', '0-s', 1, 0);
INSERT INTO corpus (name, digest, description, contexts, context_size, tokens, collections)
  VALUES ('ids', '1', '', 1, 2, 2, '[]'), ('strings', '2', '', 2, 2, 4, '[]'),
    ('parts of characters', '3', '', 2, 3, 6, '[]');
INSERT INTO context (corpus_id, number, document, token_ids, tokens)
  VALUES (1, 0, 0, '{5, 300}', '{" a", " b"}'), (2, 0, 0, '{}', '{" x", " y"}'), (2, 1, 0, '{}', '{" z", " x"}'),
    (3, 0, 0, '{3, 4, 9}', '{"", "", "今"}'), (3, 1, 0, '{5, 6, 9}', '{"", "", "人"}');
INSERT INTO vocabulary (corpus_id, token_id, token) VALUES (1, 5, ' a'), (1, 300, ' b'), (2, 8, ' x');
UPDATE corpus SET digest_of_rows = 1 WHERE id < 3;
INSERT INTO load (source_id, corpus_id, manifest_sha256, features, dead_features, counted_tokens, architecture, d_in,
  d_sae, logit_effect, recipe, state) VALUES (1, 1, '', 1, 0, 1, '', 1, 1, '', '{}', 'shown');
UPDATE source SET current_load_id = 1;
INSERT INTO load_part (load_id, part, rows, digest) VALUES (1, 'features', 1, 1)
"""
UNPACKED_FEATURE = """
INSERT INTO feature (load_id, index, density, active_tokens, max_activation, logit_min, logit_max, positive_tokens,
  positive_logits, negative_tokens, negative_logits, activation_histogram, logit_histogram, neighbour_indices,
  correlated_indices, example_contexts, example_groups, example_positions, example_lengths, value_positions,
  neighbour_cosines, correlated_pearson, quantile_shares, values)
VALUES (1, $1, 0.5, 1 << 40, 1, -1, 1, '{" a", "日本"}', '{1.5, 0.5}', '{}', '{}', $2, $2, $2, $2, $2, $3, $3, $3, $3,
  $4, $4, $4, $4)
"""
LARGE = """
INSERT INTO corpus (name, digest, description, contexts, context_size, tokens, collections)
  VALUES ('numbers', '1', '', 1000, 128, 128000, '[]'), ('older', '2', '', 1000, 128, 128000, '[]');
INSERT INTO vocabulary (corpus_id, token_id, token) SELECT 1, n, ' ' || n FROM generate_series(0, 49999) AS n;
INSERT INTO context (corpus_id, number, document, token_ids, tokens)
  SELECT corpus, number, 0, '{}', array_agg(' ' || (number * 128 + n) % 50000 ORDER BY n)
  FROM generate_series(1, 2) AS corpus, generate_series(0, 999) AS number, generate_series(0, 127) AS n GROUP BY 1, 2
"""


OLDER = """
INSERT INTO model (id, name, layers, d_model, vocabulary_size, chat, origin, license)
  VALUES ('m', '', 1, 1, 1, false, '', '');
INSERT INTO release (id, name, description, creator) VALUES ('r', '', '', '');
INSERT INTO source_set (model_id, name, release_id, title, description) VALUES ('m', 's', 'r', '', '');
INSERT INTO source (model_id, name, source_set_id, layer)
  SELECT 'm', layer || '-s', 1, layer FROM generate_series(0, 1) AS layer;
INSERT INTO corpus (name, digest, description, contexts, context_size, tokens, collections)
  VALUES ('c', '', '', 1, 1, 1, '[]');
INSERT INTO load (source_id, corpus_id, manifest_sha256, features, dead_features, counted_tokens, architecture, d_in,
  d_sae, logit_effect, recipe) SELECT source, 1, '', 1, 0, 1, '', 1, 1, '', '{}' FROM unnest(ARRAY[1, 1, 2]) AS source;
UPDATE source SET current_load_id = 2 WHERE id = 1
"""
