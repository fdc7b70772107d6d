"""Rows of stored sources as the tables of a native dataset."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from asyncpg import Connection, Record
from memicos_dataset import schema
from memicos_dataset.checks.request_columns import write_parameters

from memicos_webapp.database.packed_numbers import PackedIntegers, PackedReals, unpack
from memicos_webapp.features.models import Feature

FETCHED = 256
"""Features that are in memory at once."""
_RAGGED = ("value_positions", "values")
ATTRIBUTED = schema.FEATURE_TABLE.with_optional(("example_dfa_values", "example_dfa_positions"))
"""Columns of a source whose examples have direct feature attributions."""
_TOKENS = {"positive_token_ids": "positive_tokens", "negative_token_ids": "negative_tokens"}


class UnknownTokenError(ValueError):
    """A stored token is not in the vocabulary of its corpus."""


async def batches(connection: Connection, statement: str, *values: object, size: int) -> AsyncIterator[list[Record]]:
    """Rows of a statement, `size` at a time; inside a transaction, whose snapshot all of them are of."""
    cursor = await connection.cursor(statement, *values)
    while rows := await cursor.fetch(size):
        yield rows


def _token_ids(strings: Sequence[str], ids: Mapping[str, int]) -> list[int]:
    try:
        return [ids[string] for string in strings]
    except KeyError as error:
        raise UnknownTokenError(
            f"the token {error.args[0]!r} is not in the stored vocabulary; import the source again"
        ) from error


def feature_table(rows: Sequence[Record], ids: Mapping[str, int], columns_of_file: pa.Schema) -> pa.Table:
    """Stored features as rows of `columns_of_file`: `schema.FEATURES`, or ATTRIBUTED. `ids` are those of the tokens of
    the corpus, by their strings.

    Raises:
        UnknownTokenError: the vocabulary lacks a token of a feature.
    """
    columns: dict[str, list[Any]] = {}
    lengths = [unpack(row["example_lengths"]) for row in rows]
    for name in columns_of_file.names:
        if name == "example_dfa_values":
            columns[name] = [
                _split(unpack(row["dfa_values"]), unpack(row["example_dfa_lengths"])) or [[]] * len(own)
                for row, own in zip(rows, lengths, strict=True)
            ]
        elif name == "example_dfa_positions":
            columns[name] = [
                unpack(row[name]) or [schema.NO_POSITION] * len(own) for row, own in zip(rows, lengths, strict=True)
            ]
        elif name in _RAGGED:
            columns[name] = [_split(unpack(row[name]), own) for row, own in zip(rows, lengths, strict=True)]
        elif name in _TOKENS:
            columns[name] = [_token_ids(row[_TOKENS[name]], ids) for row in rows]
        elif isinstance(Feature.__table__.columns[name].type, PackedIntegers | PackedReals):
            columns[name] = [unpack(row[name]) for row in rows]
        else:
            columns[name] = [row[name] for row in rows]
    return pa.Table.from_pydict(columns, schema=columns_of_file)


def _split(values: Sequence[Any], lengths: Sequence[int]) -> list[Sequence[Any]]:
    parts, start = [], 0
    for length in lengths:
        parts.append(values[start : start + length])
        start += length
    return parts


def _parameters(row: Record) -> str | None:
    return write_parameters(json.loads(row["parameters"])) if row["parameters"] else None


def explanation_table(rows: Sequence[Record], columns: pa.Schema) -> pa.Table:
    """Explanations as rows of `columns`, those of `schema.EXPLANATION_TABLE` with or without those about requests."""
    content = [
        {name: _parameters(row) if name == "parameters" else row[name] for name in columns.names} for row in rows
    ]
    return pa.Table.from_pylist(content, schema=columns)


def score_table(rows: Sequence[Record], numbers: Mapping[int, int], columns: pa.Schema) -> pa.Table:
    """Scores as rows of `columns`, those of `schema.SCORE_TABLE` with or without the optional ones.

    Args:
        numbers: the row of each explanation's id in the file of explanations.
    """
    renamed = {"score": "value", "score_low": "low", "score_high": "high"}
    content = []
    for row in rows:
        details = json.loads(row["text_details"]) if row["text_details"] else []
        own: dict[str, Any] = {
            "explanation": numbers[row["explanation_id"]],
            "parameters": _parameters(row),
            "text_marked": [detail.get("marked", []) for detail in details],
            "text_expected": [detail.get("expected", []) for detail in details],
            "text_failures": [detail.get("failure", "") for detail in details],
        }
        content.append(
            {name: own[name] if name in own else row[renamed.get(str(name), str(name))] for name in columns.names}
        )
    return pa.Table.from_pylist(content, schema=columns)


def context_table(rows: Sequence[Record]) -> pa.Table:
    """Contexts as rows of `schema.CONTEXTS`."""
    content = {
        "context": [row["number"] for row in rows],
        "document": [row["document"] for row in rows],
        "token_ids": [unpack(row["token_ids"]) for row in rows],
    }
    return pa.Table.from_pydict(content, schema=schema.CONTEXTS)
