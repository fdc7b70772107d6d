"""The known way to store a public source: a row for each feature and for each activation, with all tokens and values,
inserted from `jsonb_to_recordset`, 65,000 lines a statement. Other scripts compare memicos with it."""

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from asyncpg import Connection
from isal import igzip

LINES = 65_000
FEATURE = {
    "modelId": "text", "layer": "text", "index": "text", "sourceSetName": "text", "maxActApprox": "float8",
    "hasVector": "bool", "vector": "float8[]", "hookName": "text", "topkCosSimIndices": "int[]",
    "topkCosSimValues": "float8[]", "correlated_features_indices": "int[]", "correlated_features_pearson": "float8[]",
    "correlated_features_l1": "float8[]", "neg_str": "text[]", "neg_values": "float8[]", "pos_str": "text[]",
    "pos_values": "float8[]", "frac_nonzero": "float8", "freq_hist_data_bar_heights": "float8[]",
    "freq_hist_data_bar_values": "float8[]", "logits_hist_data_bar_heights": "float8[]",
    "logits_hist_data_bar_values": "float8[]", "decoder_weights_dist": "float8[]",
}  # fmt: skip
ACTIVATION = {
    "id": "text", "modelId": "text", "layer": "text", "index": "text", "dataSource": "text", "tokens": "text[]",
    "values": "float8[]", "maxValue": "float8", "maxValueTokenIndex": "int", "minValue": "float8",
    "dfaValues": "float8[]", "dfaTargetIndex": "int", "dfaMaxValue": "float8", "binMin": "float8", "binMax": "float8",
    "binContains": "float8", "qualifyingTokenIndex": "int",
}  # fmt: skip
EXPLANATION = {
    "id": "text", "modelId": "text", "layer": "text", "index": "text", "description": "text", "typeName": "text",
    "explanationModelName": "text",
}  # fmt: skip
TABLES = {"features": FEATURE, "activations": ACTIVATION, "explanations": EXPLANATION}
_INDEXES = (
    'CREATE UNIQUE INDEX ON known.features ("modelId", layer, index)',
    'CREATE INDEX ON known.features ("modelId", layer)',
    'CREATE INDEX ON known.features ("maxActApprox")',
    "ALTER TABLE known.activations ADD PRIMARY KEY (id)",
    'CREATE INDEX ON known.activations ("modelId", layer, index)',
    "ALTER TABLE known.explanations ADD PRIMARY KEY (id)",
    'CREATE INDEX ON known.explanations ("modelId", layer, index)',
    'CREATE INDEX ON known.explanations ("modelId")',
)
_KEYS = 'FOREIGN KEY ("modelId", layer, index) REFERENCES known.features ("modelId", layer, index) ON DELETE CASCADE'


async def create(connection: Connection) -> None:
    """Make the empty tables, in a schema of their own, with indexes and foreign keys."""
    await connection.execute("DROP SCHEMA IF EXISTS known CASCADE; CREATE SCHEMA known")
    for table, columns in TABLES.items():
        definitions = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
        await connection.execute(f"CREATE TABLE known.{table} ({definitions})")
    for statement in _INDEXES:
        await connection.execute(statement)
    for table in ("activations", "explanations"):
        await connection.execute(f"ALTER TABLE known.{table} ADD {_KEYS}")


def _lines(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        with igzip.IGzipFile(str(path), "rb") as file:
            for line in file:
                yield line.decode().replace("\\u0000", " ")


async def load(connection: Connection, source: Path, statement_lines: int = LINES) -> float:
    """Insert the files of a source of the public layout; returns seconds.

    PostgreSQL refuses a statement whose rows take more than 256 MiB as jsonb.
    """
    started = time.perf_counter()
    await connection.execute("SET work_mem = '2GB'")
    for table, columns in TABLES.items():
        paths = sorted((source / table).glob("batch-*.jsonl.gz"), key=lambda path: int(path.name.split(".")[0][6:]))
        lines = _lines(paths)
        names = ", ".join(f'"{name}"' for name in columns)
        definitions = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
        while part := list(islice(lines, statement_lines)):
            await connection.execute(
                f"""INSERT INTO known.{table} ({names}) SELECT {names} FROM jsonb_to_recordset($1::jsonb)
                      AS x ({definitions}) ON CONFLICT DO NOTHING""",  # noqa: S608 (constants)
                f"[{','.join(part)}]",
                timeout=3600,
            )
    await connection.execute("RESET work_mem")
    return time.perf_counter() - started


async def size(connection: Connection) -> int:
    """Bytes of the tables, with their indexes."""
    size = await connection.fetchval(
        "SELECT sum(pg_total_relation_size('known.' || name)) FROM unnest($1::text[]) AS name", list(TABLES)
    )
    return int(size or 0)
