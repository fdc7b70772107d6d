"""Digests of rows: computed from the decoded rows of a file, and by PostgreSQL from the stored ones, to be compared.

The digest of a row is the first 60 bits of the SHA-256 of its fields as COPY receives them (`binary_copy`), for an
explanation of its texts; the digest of many rows is the sum of theirs, so it depends on no order and adds up over
files. An altered, missing or doubled row is overlooked with a probability of 2^-60; it is no protection against
forgery.
"""

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memicos_webapp.datasets.stored_rows.binary_copy import INT4, INT8, REAL

SEPARATOR = "\x1f"
"""Between the texts of an explanation."""

FEATURE_NUMBERS = {"index": INT4, "density": REAL, "active_tokens": INT8, "max_activation": REAL,
                   "logit_min": REAL, "logit_max": REAL}  # fmt: skip
FEATURE_ARRAYS = ("positive_tokens", "positive_logits", "negative_tokens", "negative_logits")
PACKED_INTEGERS = (
    "activation_histogram", "logit_histogram", "neighbour_indices", "correlated_indices", "example_groups",
    "example_contexts", "example_positions", "example_lengths", "value_positions", "example_dfa_positions",
    "example_dfa_lengths",
)  # fmt: skip
PACKED_REALS = ("neighbour_cosines", "correlated_pearson", "quantile_shares", "values", "dfa_values")
FEATURE_COLUMNS = (*FEATURE_NUMBERS, *FEATURE_ARRAYS, *PACKED_INTEGERS, *PACKED_REALS)
"""Columns of a feature's digest, in their order."""

EXPLANATION_REQUEST = ("template_version", "profile", "prompt_tokens", "completion_tokens", "cost")
"""Columns about the request of an explanation in its digest, in their order."""


def _row_digest(content: bytes) -> int:
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big") >> 4


def digest(rows: Iterable[bytes]) -> int:
    """The digest of rows, each of which is given by its fields one after the other."""
    return sum(map(_row_digest, rows))


@dataclass
class Stored:
    """Rows of a file that were made for COPY, and their digest."""

    rows: int = 0
    digest: int = 0

    def add(self, rows: Sequence[bytes]) -> None:
        """Add rows that are given by their fields."""
        self.rows += len(rows)
        self.digest += digest(rows)


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


def _field(content: str) -> str:
    """SQL of the field whose value is `content`."""
    return f"int4send(octet_length({content})) || {content}"


_SEPARATOR_SQL = "E'\\x1f'"
_FEATURE = [
    *(_field(f"{kind.send}({name})") for name, kind in FEATURE_NUMBERS.items()),
    *(_field(f"array_send({name})") for name in FEATURE_ARRAYS),
    *map(_field, (*PACKED_INTEGERS, *PACKED_REALS)),
]
_CONTEXT = [_field("int4send(number)"), _field("int4send(document)"), _field("token_ids")]
_TOKEN = [_field("int4send(token_id)"), _field("convert_to(token, 'UTF8')")]

_EXPLANATION_REQUEST = [
    # null, and so left out by concat_ws, where the column is
    f"'{name}=' || " + (f"encode(float8send({name}), 'hex')" if name == "cost" else f"{name}::text")
    for name in EXPLANATION_REQUEST
]

FEATURES_SQL = f"SELECT count(*), {_sum(' || '.join(_FEATURE))} AS digest FROM feature WHERE load_id = $1"  # noqa: S608
"""Rows and digest of a load's features ($1)."""

CONTEXTS_SQL = f"""SELECT count(*), {_sum(" || ".join(_CONTEXT))}
      + (SELECT {_sum(" || ".join(_TOKEN))} FROM vocabulary WHERE corpus_id = $1) AS digest
    FROM context WHERE corpus_id = $1"""  # noqa: S608 (constants)
"""Rows of a corpus' contexts ($1), and the digest of them and of the vocabulary."""

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
