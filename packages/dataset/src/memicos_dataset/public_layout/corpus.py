"""The corpus of a conversion: contexts by the hash of their tokens, and the vocabulary.

Public rows have the strings of tokens; our own rows have `tokenIds` and `posTokenIds` too. Without ids the strings get
numbers in the order in which they occur.
"""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from memicos_dataset.hash_numbers import HASH_BYTES, HashNumbers
from memicos_dataset.public_layout.values import ValueProblem

_CONTEXTS = pa.schema([("digest", pa.binary(HASH_BYTES)), ("token_ids", pa.list_(pa.int32()))])
_TOKENS = pa.schema([("token_id", pa.int32()), ("token", pa.string())])


Context = tuple[list[str], list[int] | None]
"""Strings of a context's tokens, and their ids where they are known."""


class CorpusBuilder:
    """Contexts and tokens that conversion steps find. `pending` ones are written with the step that found them."""

    def __init__(self) -> None:
        self.known_ids: bool | None = None
        """Whether rows have token ids; None before the first context."""
        self._numbers = HashNumbers()
        self._ids: dict[str, int] = {}
        self._strings: dict[int, str] = {}
        self._pending_contexts: list[tuple[bytes, list[int]]] = []
        self._pending_tokens: list[tuple[int, str]] = []
        self.longest = self.tokens = 0
        self.first_tokens: set[int] = set()

    @property
    def contexts(self) -> int:
        return self._numbers.count

    def digest(self, tokens: list[str], ids: list[int] | None) -> bytes:
        """The hash of a context: of its ids where they are known, otherwise of its strings.

        Raises:
            ValueProblem: some rows have ids, and others have none.
        """
        if self.known_ids is None:
            self.known_ids = ids is not None
        if self.known_ids != (ids is not None):
            raise ValueProblem("tokenIds", "some rows of the set have token ids, and others have none")
        return blake2b(orjson.dumps(tokens if ids is None else ids), digest_size=HASH_BYTES).digest()

    def add(self, digests: Sequence[bytes], context: Callable[[int], Context]) -> np.ndarray:
        """Numbers (int32) of contexts; new ones are added. `context`: the tokens of a digest's place."""
        numbers, new = self._numbers.find_or_add(digests)
        for place in new:
            tokens, ids = context(place)
            row = self.token_ids(tokens) if ids is None else ids
            self._pending_contexts.append((digests[place], row))
            self._note(row)
        return numbers

    def _note(self, token_ids: Sequence[int]) -> None:
        self.longest = max(self.longest, len(token_ids))
        self.tokens += len(token_ids)
        self.first_tokens.add(token_ids[0])

    def token_ids(self, strings: list[str]) -> list[int]:
        """Numbers of strings; new strings get the next ones. With known ids, the lowest id of a string."""
        ids = self._ids
        try:
            return [ids[string] for string in strings]
        except KeyError:
            for string in strings:
                if string not in ids:
                    # without a known id, above all ids of tokenizers
                    self._add_token((1 << 30) + len(ids) if self.known_ids else len(ids), string)
            return [ids[string] for string in strings]

    def check_ids(self, column: str, strings: list[str], ids: list[int]) -> None:
        """Add tokens with known ids.

        Raises:
            ValueProblem: an id has had another string.
        """
        strings_by_id = self._strings
        for token_id, string in zip(ids, strings, strict=True):
            known = strings_by_id.get(token_id)
            if known is None:
                self._add_token(token_id, string)
            elif known != string:
                raise ValueProblem(column, f"id {token_id} is {string!r} here, and {known!r} in an earlier row")

    def _add_token(self, token_id: int, string: str) -> None:
        self._strings[token_id] = string
        self._ids.setdefault(string, token_id)
        self._pending_tokens.append((token_id, string))

    def write_pending(self, folder: Path) -> None:
        """Write what was added since the last call into a step's folder."""
        contexts, tokens = self._pending_contexts, self._pending_tokens
        pq.write_table(
            pa.Table.from_arrays(
                [
                    pa.array([digest for digest, _ in contexts], pa.binary(HASH_BYTES)),
                    pa.array([row for _, row in contexts], pa.list_(pa.int32())),
                ],
                schema=_CONTEXTS,
            ),
            folder / "contexts.parquet",
        )
        pq.write_table(
            pa.Table.from_arrays(
                [pa.array([i for i, _ in tokens], pa.int32()), pa.array([string for _, string in tokens], pa.string())],
                schema=_TOKENS,
            ),
            folder / "vocabulary.parquet",
        )
        self._pending_contexts, self._pending_tokens = [], []

    def read_step(self, folder: Path) -> None:
        """Add what an earlier run wrote with `write_pending`, in the same order."""
        with pq.ParquetFile(folder / "contexts.parquet") as file:
            for batch in file.iter_batches():
                if len(batch):
                    self._numbers.find_or_add(batch.column("digest").to_pylist())
                    for row in batch.column("token_ids").to_pylist():
                        self._note(row)
        tokens = pq.read_table(folder / "vocabulary.parquet")
        for token_id, string in zip(tokens["token_id"].to_pylist(), tokens["token"].to_pylist(), strict=True):
            self._strings[token_id] = string
            self._ids.setdefault(string, token_id)

    def vocabulary(self) -> list[tuple[int, str]]:
        """Token ids and strings, by id."""
        return sorted(self._strings.items())
