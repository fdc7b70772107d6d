"""Digests of rows: computed from the decoded rows of a file, and by PostgreSQL from the stored ones, to be compared.

The digest of a row is the first 60 bits of the SHA-256 of its columns in PostgreSQL's binary form (numbers and arrays
of numbers) or as text; the digest of many rows is the sum of theirs, so it depends on no order and adds up over files.
An altered, missing or doubled row is overlooked with a probability of 2^-60; it is no protection against forgery.
"""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

SEPARATOR = "\x1f"
"""Between the tokens of an array of texts."""


@dataclass(frozen=True)
class _Type:
    """A type of numbers: PostgreSQL's oid, the bytes that it sends, and its function that sends one."""

    oid: int
    dtype: str
    send: str


INT2, INT4, INT8 = _Type(21, ">i2", "int2send"), _Type(23, ">i4", "int4send"), _Type(20, ">i8", "int8send")
REAL = _Type(700, ">f4", "float4send")

FEATURE_NUMBERS = {"index": INT4, "density": REAL, "active_tokens": INT8, "max_activation": REAL,
                   "logit_min": REAL, "logit_max": REAL}  # fmt: skip
FEATURE_ARRAYS = {
    "activation_histogram": INT4, "logit_histogram": INT4, "positive_logits": REAL, "negative_logits": REAL,
    "neighbour_indices": INT4, "neighbour_cosines": REAL, "correlated_indices": INT4, "correlated_pearson": REAL,
    "quantile_shares": REAL, "example_groups": INT2, "example_contexts": INT4, "example_positions": INT2,
    "example_lengths": INT2, "value_positions": INT2, "values": REAL,
}  # fmt: skip
FEATURE_TEXTS = ("positive_tokens", "negative_tokens")
FEATURE_ATTRIBUTIONS = {"example_dfa_positions": INT2, "example_dfa_lengths": INT2, "dfa_values": REAL}
"""They have no part in the digest of a row where they are empty, as they are in loads of versions without them."""
FEATURE_COLUMNS = (*FEATURE_NUMBERS, *FEATURE_ARRAYS, *FEATURE_TEXTS, *FEATURE_ATTRIBUTIONS)
"""Columns of a feature's digest, in their order."""

EXPLANATION_REQUEST = ("template_version", "profile", "prompt_tokens", "completion_tokens", "cost")
"""Columns about the request of an explanation in its digest, in their order."""

_EMPTY_ARRAYS = {kind.oid: struct.pack(">iii", 0, 0, kind.oid) for kind in (INT2, INT4, INT8, REAL)}


def empty_array(kind: _Type) -> bytes:
    """An array without entries as PostgreSQL sends it."""
    return _EMPTY_ARRAYS[kind.oid]


def _row_digest(content: bytes) -> int:
    return int(hashlib.sha256(content).hexdigest()[:15], 16)


def numbers(values: np.ndarray, kind: _Type) -> list[bytes]:
    """Each number of `values` (R,) as PostgreSQL sends it."""
    raw, size = values.astype(kind.dtype).tobytes(), np.dtype(kind.dtype).itemsize
    return [raw[start : start + size] for start in range(0, len(raw), size)]


def arrays(offsets: np.ndarray, values: np.ndarray, kind: _Type) -> list[bytes]:
    """Each array `values[offsets[i]:offsets[i + 1]]` as PostgreSQL sends it. `offsets` (R + 1,), `values` (V,)."""
    itemsize = np.dtype(kind.dtype).itemsize
    items = np.empty(len(values), dtype=[("bytes", ">i4"), ("value", kind.dtype)])
    items["bytes"], items["value"] = itemsize, values
    raw, size = items.tobytes(), itemsize + 4
    bounds = offsets.tolist()
    return [
        struct.pack(">iiiii", 1, 0, kind.oid, end - start, 1) + raw[start * size : end * size]
        if end > start
        else _EMPTY_ARRAYS[kind.oid]
        for start, end in pairwise(bounds)
    ]


def joined(texts: Sequence[str]) -> bytes:
    """An array of texts as digests are made of it."""
    return SEPARATOR.join(texts).encode()


def digest(columns: Sequence[Sequence[bytes]]) -> int:
    """The digest of rows, whose columns are given in the order of the statement."""
    return sum(_row_digest(b"".join(row)) for row in zip(*columns, strict=True))


def explanation_digest(index: int, description: str, method: str, model: str | None, request: Mapping[str, Any]) -> int:
    """The digest of one explanation. Of what is known of its `request`, parameters have no part in it, and neither has
    what is None: so digests of loads of versions without these columns stay valid."""
    parts = [str(index), description, method, model or ""]
    for name in EXPLANATION_REQUEST:
        value = request[name]
        if value is not None:
            content = struct.pack(">d", value).hex() if name == "cost" else str(value)
            parts.append(f"{name}={content}")
    return _row_digest(SEPARATOR.join(parts).encode())


def _sum(content: str) -> str:
    return f"coalesce(sum(('x' || left(encode(sha256({content}), 'hex'), 15))::bit(60)::bigint), 0)"


_SEPARATOR_SQL = "E'\\x1f'"

_FEATURE = [
    *(f"{kind.send}({name})" for name, kind in FEATURE_NUMBERS.items()),
    *(f"array_send({name})" for name in FEATURE_ARRAYS),
    *(f"convert_to(array_to_string({name}, {_SEPARATOR_SQL}), 'UTF8')" for name in FEATURE_TEXTS),
    *(f"CASE WHEN {name} = '{{}}' THEN ''::bytea ELSE array_send({name}) END" for name in FEATURE_ATTRIBUTIONS),
]

_EXPLANATION_REQUEST = [
    # null, and so left out by concat_ws, where the column is
    f"'{name}=' || " + (f"encode(float8send({name}), 'hex')" if name == "cost" else f"{name}::text")
    for name in EXPLANATION_REQUEST
]

FEATURES_SQL = f"SELECT count(*), {_sum(' || '.join(_FEATURE))} AS digest FROM feature WHERE load_id = $1"  # noqa: S608
"""Rows and digest of a load's features ($1)."""

CONTEXTS_SQL = f"""SELECT count(*), {
    _sum(
        "int4send(number) || int4send(document) || array_send(token_ids) || "
        f"convert_to(array_to_string(tokens, {_SEPARATOR_SQL}), 'UTF8')"
    )
} AS digest FROM context WHERE corpus_id = $1"""  # noqa: S608 (constants)
"""Rows and digest of a corpus' contexts ($1)."""

EXPLANATIONS_SQL = f"""SELECT count(*), {
    _sum(
        f"convert_to(concat_ws({_SEPARATOR_SQL}, index::text, description, method, coalesce(model, ''), "
        f"{', '.join(_EXPLANATION_REQUEST)}), 'UTF8')"
    )
} AS digest FROM explanation WHERE source_id = $1 AND author_id IS NULL"""  # noqa: S608 (constants)
"""Rows and digest of the explanations of a source ($1) that came with its dataset."""

SCORES_SQL = """SELECT count(*), NULL::numeric AS digest FROM score JOIN explanation ON explanation.id = explanation_id
    WHERE source_id = $1 AND score.author_id IS NULL"""
"""Rows of the scores of a source ($1) that came with its dataset."""
