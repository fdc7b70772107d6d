"""lists of numbers of features, and ids of contexts' tokens, as packed bytes; strings of contexts only in vocabularies

Imports that were interrupted start again. Loads and corpora that could be verified get the digests of what is stored.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

INTEGERS = {
    "activation_histogram": sa.Integer, "logit_histogram": sa.Integer, "neighbour_indices": sa.Integer,
    "correlated_indices": sa.Integer, "example_groups": sa.SmallInteger, "example_contexts": sa.Integer,
    "example_positions": sa.SmallInteger, "example_lengths": sa.SmallInteger, "value_positions": sa.SmallInteger,
    "example_dfa_positions": sa.SmallInteger, "example_dfa_lengths": sa.SmallInteger,
}  # fmt: skip
REALS = ("neighbour_cosines", "correlated_pearson", "quantile_shares", "values", "dfa_values")
WITH_DEFAULT = ("example_dfa_positions", "example_dfa_lengths", "dfa_values")
NUMBERS = {"index": "int4send", "density": "float4send", "active_tokens": "int8send", "max_activation": "float4send",
           "logit_min": "float4send", "logit_max": "float4send"}  # fmt: skip
ARRAYS = ("positive_tokens", "positive_logits", "negative_tokens", "negative_logits")

FUNCTIONS = """
CREATE FUNCTION pg_temp.pack_integers(list integer[]) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(
    CASE WHEN min(x) >= 0 AND max(x) < 256 THEN 'B'::bytea || string_agg(substring(int4send(x) FROM 4), '' ORDER BY n)
         WHEN min(x) >= -128 AND max(x) < 128 THEN 'b' || string_agg(substring(int4send(x) FROM 4), '' ORDER BY n)
         WHEN min(x) >= 0 AND max(x) < 65536 THEN 'H' || string_agg(substring(int4send(x) FROM 3), '' ORDER BY n)
         ELSE 'i' || string_agg(int4send(x), '' ORDER BY n) END, '')
  FROM unnest(list) WITH ORDINALITY AS item (x, n)
$$;
CREATE FUNCTION pg_temp.pack_reals(list real[]) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(
    CASE WHEN bool_and(get_byte(float4send(x), 3) = 0)
         THEN 't'::bytea || string_agg(substring(float4send(x) FROM 1 FOR 3), '' ORDER BY n)
         ELSE 'f' || string_agg(float4send(x), '' ORDER BY n) END, '')
  FROM unnest(list) WITH ORDINALITY AS item (x, n)
$$;
"""
"""As `memicos_webapp.database.packed_numbers` packs lists."""

TOKENS = """
UPDATE corpus SET digest = 'without vocabulary ' || digest
  WHERE NOT EXISTS (SELECT FROM vocabulary WHERE corpus_id = corpus.id);
-- numbers for strings that have none
INSERT INTO vocabulary (corpus_id, token_id, token)
  SELECT corpus_id, coalesce(last, -1) + row_number() OVER (PARTITION BY corpus_id ORDER BY token), token
  FROM (SELECT DISTINCT corpus_id, token FROM context JOIN corpus ON corpus.id = corpus_id, unnest(context.tokens) token
        WHERE NOT tokenizer_ids) AS new
  LEFT JOIN (SELECT corpus_id, max(token_id) AS last FROM vocabulary GROUP BY 1) AS ids USING (corpus_id)
  WHERE NOT EXISTS (SELECT FROM vocabulary known WHERE known.corpus_id = new.corpus_id AND known.token = new.token);
ANALYZE vocabulary;
UPDATE context SET token_ids = own.ids FROM (
  SELECT corpus_id, number, array_agg(token_id ORDER BY n) AS ids
  FROM context JOIN corpus ON corpus.id = corpus_id, unnest(context.tokens) WITH ORDINALITY AS item (token, n)
  JOIN (SELECT corpus_id AS known_id, token, min(token_id) AS token_id FROM vocabulary GROUP BY 1, 2) AS known
    USING (token)
  WHERE NOT tokenizer_ids AND known_id = corpus_id GROUP BY corpus_id, number) AS own
WHERE context.corpus_id = own.corpus_id AND context.number = own.number;
"""
"""Contexts without ids of a tokenizer get numbers of strings.

So do those of corpora without a vocabulary, which are of versions before 0020: their strings have the bytes of a
character joined, so that ids of parts of characters have no string of their own. These corpora get no digest of their
rows, and one of their own in place of that of the dataset's texts, so that the next import of it brings all texts.
"""


def _sum(fields: list[str]) -> str:
    content = " || ".join(f"int4send(octet_length({field})) || {field}" for field in fields)
    return f"coalesce(sum(('x' || left(encode(sha256({content}), 'hex'), 15))::bit(60)::bigint), 0)"


def upgrade() -> None:
    op.execute("DELETE FROM load WHERE state IN ('staging', 'verified')")
    op.execute("DELETE FROM job_file WHERE job_id IN (SELECT id FROM job WHERE state IN ('queued', 'running'))")
    op.add_column("corpus", sa.Column("tokenizer_ids", sa.Boolean(), nullable=True))
    op.execute("""UPDATE corpus SET tokenizer_ids = EXISTS (SELECT FROM vocabulary WHERE corpus_id = corpus.id)
                    AND NOT EXISTS (SELECT FROM context WHERE corpus_id = corpus.id AND token_ids = '{}')""")
    op.alter_column("corpus", "tokenizer_ids", nullable=False)
    for statement in filter(str.strip, (FUNCTIONS + TOKENS).split(";")):
        op.execute(statement)
    op.execute("""ALTER TABLE context DROP COLUMN tokens,
                    ALTER COLUMN token_ids TYPE bytea USING pg_temp.pack_integers(token_ids)""")
    changes = [f"ALTER COLUMN {name} DROP DEFAULT" for name in WITH_DEFAULT]
    changes += [f"ALTER COLUMN {name} TYPE bytea USING pg_temp.pack_integers({name})" for name in INTEGERS]
    changes += [f"ALTER COLUMN {name} TYPE bytea USING pg_temp.pack_reals({name})" for name in REALS]
    op.execute(f"ALTER TABLE feature {', '.join(changes)}")
    for name in WITH_DEFAULT:
        op.alter_column("feature", name, server_default=sa.text("''"))
    features = [
        *(f"{send}({name})" for name, send in NUMBERS.items()),
        *(f"array_send({name})" for name in ARRAYS),
        *INTEGERS,
        *REALS,
    ]
    op.execute(f"""UPDATE load_part part SET digest = (SELECT {_sum(features)} FROM feature
                                                       WHERE feature.load_id = part.load_id)
                   WHERE part = 'features'""")  # noqa: S608 (constants)
    contexts = _sum(["int4send(number)", "int4send(document)", "token_ids"])
    tokens = _sum(["int4send(token_id)", "convert_to(token, 'UTF8')"])
    op.execute(f"""UPDATE corpus SET digest_of_rows = (SELECT {contexts} FROM context WHERE corpus_id = corpus.id)
                     + (SELECT {tokens} FROM vocabulary WHERE corpus_id = corpus.id)
                   WHERE digest_of_rows IS NOT NULL""")  # noqa: S608 (constants)


def downgrade() -> None:
    # earlier versions cannot read packed lists: they import the datasets again
    op.execute("UPDATE source SET current_load_id = NULL")
    op.execute("DELETE FROM load")
    op.execute("DELETE FROM corpus")
    op.drop_column("corpus", "tokenizer_ids")
    op.add_column("context", sa.Column("tokens", postgresql.ARRAY(sa.Text()), nullable=False))
    op.execute("ALTER TABLE context ALTER COLUMN token_ids TYPE integer[] USING NULL")
    for name in (*INTEGERS, *REALS):
        kind = postgresql.ARRAY(INTEGERS.get(name, sa.REAL)())
        op.execute(f"ALTER TABLE feature ALTER COLUMN {name} DROP DEFAULT")
        op.alter_column("feature", name, type_=kind, postgresql_using="NULL")
    for name in WITH_DEFAULT:
        op.alter_column("feature", name, server_default=sa.text("'{}'"))
