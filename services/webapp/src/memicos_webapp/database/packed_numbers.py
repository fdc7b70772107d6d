"""Lists of numbers as bytes, for columns of type bytea.

A list takes a byte for the kind of its numbers and then their bytes, most significant first; an empty list takes none.
Every list is of the smallest kind that holds all of its numbers exactly, so equal lists have equal bytes. PostgreSQL's
arrays take 20 bytes more for each list, two to four times as many for each small number, and longer to copy.

Kinds: `B` integers from 0 to 255, `b` -128 to 127, `H` 0 to 65535, `i` of 32 bits, `t` 32-bit floats whose last byte is
zero, without it (`memicos generate` rounds activations so), `f` 32-bit floats.
"""

import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from sqlalchemy import Dialect, LargeBinary
from sqlalchemy.types import TypeDecorator

_INTEGERS = (
    ("B", 0, 0xFF, ">u1"),
    ("b", -0x80, 0x7F, ">i1"),
    ("H", 0, 0xFFFF, ">u2"),
    ("i", -1 << 31, (1 << 31) - 1, ">i4"),
)
"""Kind, smallest and largest number, numpy's name; the first that fits is taken."""
_DTYPES = {ord(kind): np.dtype(name) for kind, _, _, name in _INTEGERS} | {ord("f"): np.dtype(">f4")}
_SHORT = ord("t")
_EMPTY_WITH_LENGTH = struct.pack(">i", 0)


class PackedIntegers(TypeDecorator[list[int]]):
    """A column of packed lists of integers."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: Sequence[int] | None, dialect: Dialect) -> bytes | None:
        return None if value is None else pack_integers(value)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> list[int] | None:
        return None if value is None else unpack(value)


class PackedReals(TypeDecorator[list[float]]):
    """A column of packed lists of 32-bit floats."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: Sequence[float] | None, dialect: Dialect) -> bytes | None:
        return None if value is None else pack_reals(value)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> list[float] | None:
        return None if value is None else unpack(value)


def unpack_array(content: bytes) -> np.ndarray:
    """The numbers (N,) of a packed list."""
    if not content:
        return np.empty(0, np.int32)
    if content[0] != _SHORT:
        return np.frombuffer(content, _DTYPES[content[0]], offset=1)
    short = np.frombuffer(content, np.uint8, offset=1).reshape(-1, 3)
    full = np.zeros((len(short), 4), np.uint8)
    full[:, :3] = short
    return full.view(">f4").ravel()


def unpack(content: bytes) -> list[Any]:
    """The numbers of a packed list."""
    return unpack_array(content).tolist()


def pack_integers(values: Sequence[int]) -> bytes:
    return pack_integer_lists(np.array([0, len(values)]), np.asarray(values, np.int64))[0]


def pack_reals(values: Sequence[float]) -> bytes:
    return pack_real_lists(np.array([0, len(values)]), np.asarray(values, np.float32))[0]


def pack_integer_lists(offsets: np.ndarray, values: np.ndarray, with_length: bool = False) -> list[bytes]:
    """The lists `values[offsets[i]:offsets[i + 1]]`, `with_length` each after its length in 4 bytes, as COPY has it.
    `offsets` (R + 1,), `values` (V,).

    Raises:
        ValueError: a number has more than 32 bits.
    """
    filled = np.flatnonzero(np.diff(offsets))
    if not len(filled):
        return [_EMPTY_WITH_LENGTH if with_length else b""] * (len(offsets) - 1)
    own, starts = values[offsets[0] : offsets[-1]], (offsets[:-1] - offsets[0])[filled]
    kinds = np.full(len(offsets) - 1, -1)
    _, low, high, _ = _INTEGERS[0]
    if own.min() >= low and own.max() <= high:
        kinds[filled] = 0
    else:
        smallest, largest = np.minimum.reduceat(own, starts), np.maximum.reduceat(own, starts)
        fits = [(smallest >= low) & (largest <= high) for _, low, high, _ in _INTEGERS]
        if not fits[-1].all():
            raise ValueError("a number has more than 32 bits")
        kinds[filled] = np.argmax(fits, axis=0)
    packed = {
        number: (ord(kind), np.dtype(name).itemsize, own.astype(name).tobytes())
        for number, (kind, _, _, name) in enumerate(_INTEGERS)
        if (kinds == number).any()
    }
    return _lists(offsets, kinds, packed, with_length)


def pack_real_lists(offsets: np.ndarray, values: np.ndarray, with_length: bool = False) -> list[bytes]:
    """As `pack_integer_lists`, of 32-bit floats."""
    filled = np.flatnonzero(np.diff(offsets))
    if not len(filled):
        return [_EMPTY_WITH_LENGTH if with_length else b""] * (len(offsets) - 1)
    own, starts = values[offsets[0] : offsets[-1]].astype(">f4"), (offsets[:-1] - offsets[0])[filled]
    content = own.view(np.uint8).reshape(-1, 4)
    last_bytes = content[:, 3] != 0
    kinds = np.full(len(offsets) - 1, -1)
    kinds[filled] = np.logical_or.reduceat(last_bytes, starts) if last_bytes.any() else 0
    packed = {}
    if (kinds == 0).any():
        packed[0] = (_SHORT, 3, content[:, :3].tobytes())
    if (kinds == 1).any():
        packed[1] = (ord("f"), 4, content.tobytes())
    return _lists(offsets, kinds, packed, with_length)


def _lists(
    offsets: np.ndarray, kinds: np.ndarray, packed: dict[int, tuple[int, int, bytes]], with_length: bool
) -> list[bytes]:
    """The bytes of each list, whose kind is a key of `packed` (its letter, bytes of a number, all numbers), or -1 where
    the list is empty."""
    # what comes before a list, by its number of entries
    heads = {
        kind: {
            count: (struct.pack(">i", 1 + size * count) if with_length else b"") + bytes([letter])
            for count in set(np.diff(offsets)[kinds == kind].tolist())
        }
        for kind, (letter, size, _) in packed.items()
    }
    bounds = pairwise((offsets - offsets[0]).tolist())
    if len(packed) == 1 and kinds.min() >= 0:
        ((kind, (_, size, content)),) = packed.items()
        own = heads[kind]
        return [own[end - start] + content[size * start : size * end] for start, end in bounds]
    heads[-1] = {0: _EMPTY_WITH_LENGTH if with_length else b""}
    packed = packed | {-1: (0, 0, b"")}
    found = []
    for kind, (start, end) in zip(kinds.tolist(), bounds, strict=True):
        _, size, content = packed[kind]
        found.append(heads[kind][end - start] + content[size * start : size * end])
    return found
