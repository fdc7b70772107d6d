"""Arrays of token strings, made for whole batches, are those that PostgreSQL sends and digests of token by token."""

import random
import struct

import pyarrow as pa
import pytest
from memicos_dataset.token_text import context_strings
from memicos_webapp.datasets.stored_rows.row_digests import SEPARATOR
from memicos_webapp.datasets.stored_rows.token_strings import TokenStrings

# ids in no order, an empty string, bytes of characters
TOKENS = {7: " whale", 600: "␀", 0: "", 5: "日本", 3: "<0xE4>", 4: "<0xBB>", 9: "<0x8A>", 1: " the"}


def postgresql_array(texts: list[str]) -> bytes:
    """The binary form of text[]: dimensions, has nulls, oid, length, lower bound, then length and bytes of each."""
    if not texts:
        return struct.pack(">iii", 0, 0, 25)
    items = [struct.pack(">i", len(text.encode())) + text.encode() for text in texts]
    return struct.pack(">iiiii", 1, 0, 25, len(texts), 1) + b"".join(items)


@pytest.mark.parametrize("first", [0, 3], ids=["batch", "slice of a batch"])
@pytest.mark.parametrize("largest", [600, 2_000_000_000])
def test_arrays_are_those_of_single_tokens(first: int, largest: int) -> None:
    tokens = {largest if i == 600 else i: token for i, token in TOKENS.items()}
    draw = random.Random(0)
    rows = [draw.choices(list(tokens), k=draw.randrange(6)) for _ in range(200)] + [[3, 4, 9], []]
    column = pa.array(rows, pa.list_(pa.int32())).slice(first)
    strings = TokenStrings(tokens)
    for found, expected in (
        (strings.lists(column), [[tokens[i] for i in row] for row in rows[first:]]),
        (strings.contexts(column), [context_strings([tokens[i] for i in row]) for row in rows[first:]]),
    ):
        assert found.fields == [postgresql_array(row) for row in expected]
        assert found.digested == [SEPARATOR.join(row).encode() for row in expected]
    assert strings.contexts(column).digested[-2].decode() == f"{SEPARATOR}{SEPARATOR}今"


def test_lists_without_tokens() -> None:
    found = TokenStrings(TOKENS).lists(pa.array([[], []], pa.list_(pa.int32())))
    assert found.fields == [postgresql_array([])] * 2 and found.digested == [b""] * 2
