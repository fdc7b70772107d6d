"""Packed lists: exact, of the smallest kind, and made by the migration as by Python."""

import struct

import numpy as np
import pytest
from memicos_webapp.database.packed_numbers import (
    pack_integer_lists,
    pack_integers,
    pack_real_lists,
    pack_reals,
    unpack,
    unpack_array,
)

INTEGERS = (
    ([], b""),
    ([0, 255, 1], b"B\x00\xff\x01"),
    ([-1, 127, -128], b"b\xff\x7f\x80"),
    ([256, 0], b"H\x01\x00\x00\x00"),
    ([-1, 128], b"i" + struct.pack(">ii", -1, 128)),
    ([65536], b"i\x00\x01\x00\x00"),
    ([-(1 << 31), (1 << 31) - 1], b"i" + struct.pack(">ii", -(1 << 31), (1 << 31) - 1)),
)
REALS = (
    ([], b""),
    ([1.0, -2.5], b"t\x3f\x80\x00\xc0\x20\x00"),
    ([1.0, 1 / 3], b"f" + struct.pack(">ff", 1, 1 / 3)),
    ([0.0], b"t\x00\x00\x00"),
)


@pytest.mark.parametrize(("numbers", "packed"), INTEGERS)
def test_integers(numbers: list[int], packed: bytes) -> None:
    assert pack_integers(numbers) == packed
    assert unpack(packed) == numbers


@pytest.mark.parametrize(("numbers", "packed"), REALS)
def test_reals(numbers: list[float], packed: bytes) -> None:
    assert pack_reals(numbers) == packed
    assert unpack(packed) == np.asarray(numbers, np.float32).tolist()


def test_lists_of_a_batch_are_packed_one_by_one() -> None:
    draw = np.random.default_rng(0)
    scales = (3, 200, 40_000, 1 << 30)
    lists = [draw.integers(-(n % 2) * 5, scales[n % 4], n % 7) for n in range(300)]
    reals = [np.float32(own / (3 if n % 3 else 2)) for n, own in enumerate(lists)]
    offsets = np.cumsum([0, *map(len, lists)])
    for batch, one, rows, kinds in (
        (pack_integer_lists, pack_integers, lists, (b"", b"B", b"b", b"H", b"i")),
        (pack_real_lists, pack_reals, reals, (b"", b"t", b"f")),
    ):
        packed = batch(offsets, np.concatenate(rows))
        assert packed == [one(list(row)) for row in rows]  # pyright: ignore[reportArgumentType]
        assert {content[:1] for content in packed} == set(kinds)
        assert all((unpack_array(content) == row).all() for content, row in zip(packed, rows, strict=True))
        framed = batch(offsets, np.concatenate(rows), with_length=True)
        assert framed == [len(content).to_bytes(4, "big") + content for content in packed]
        # a slice of a batch, whose offsets do not begin at 0
        assert batch(offsets[100:201], np.concatenate(rows)) == packed[100:200]


def test_lists_of_a_batch_without_numbers() -> None:
    for batch in (pack_integer_lists, pack_real_lists):
        assert batch(np.zeros(3, int), np.empty(0)) == [b"", b""]
        assert batch(np.zeros(3, int), np.empty(0), with_length=True) == [bytes(4)] * 2


def test_a_number_of_more_than_32_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 32 bits"):
        pack_integers([1, 1 << 31])
