"""Strings of tokens: arrays made for whole batches are those that PostgreSQL receives; contexts are read as texts."""

import random
import struct

import pyarrow as pa
import pytest
from memicos_testing.servers import Start
from memicos_testing.webapp.database import execute
from memicos_webapp.database.packed_numbers import pack_integers
from memicos_webapp.datasets.stored_rows.token_arrays import TokenArrays

# ids in no order, an empty string
TOKENS = {7: " whale", 600: "␀", 0: "", 5: "日本", 3: "<0xE4>", 1: " the"}


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
    rows = [draw.choices(list(tokens), k=draw.randrange(6)) for _ in range(200)] + [[]]
    found = TokenArrays(tokens).fields(pa.array(rows, pa.list_(pa.int32())).slice(first))
    expected = [postgresql_array([tokens[i] for i in row]) for row in rows[first:]]
    assert found == [struct.pack(">i", len(array)) + array for array in expected]


def test_lists_without_tokens() -> None:
    found = TokenArrays(TOKENS).fields(pa.array([[], []], pa.list_(pa.int32())))
    assert found == [struct.pack(">i", 12) + postgresql_array([])] * 2


async def test_bytes_of_a_character_are_joined_where_a_context_is_read(own_url: str, started: Start) -> None:
    async with started(own_url) as client:
        example = (await client.get("/api/feature/small/1-res/3")).json()["activations"][0]
        strings = dict(enumerate(("<0xE4>", "<0xBB>", "<0x8A>", "<0x8A>"), 900))
        for token, string in strings.items():
            await execute(own_url, "INSERT INTO vocabulary SELECT max(id), $1, $2 FROM corpus", token, string)
        ids = [*example["tokenIds"][:-4], *strings]
        assert len(ids) == len(example["tokenIds"])
        await execute(own_url, "UPDATE context SET token_ids = $1", pack_integers(ids))
        tokens = (await client.get("/api/feature/small/1-res/3")).json()["activations"][0]["tokens"]
    assert tokens == [*example["tokens"][:-4], "", "", "今", "<0x8A>"]
