"""What a model remembers of rows that are written side by side: they end at one column, whatever their lengths.

What a row has before its beginning is masked, as padding on the left is. So rows join and leave while others go on, and
transformers makes its masks, of sliding windows too, as for any padded batch: columns differ by what positions differ.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from transformers import Cache, DynamicCache, PreTrainedConfig
from transformers.cache_utils import CacheLayerMixin, DummyLayer, DynamicLayer, DynamicSlidingWindowLayer

_SPARE_COLUMNS = 64
"""Columns that buffers get beyond what is needed when they grow."""


def supports_row_batching(config: PreTrainedConfig) -> bool:
    """Whether all that the model remembers are keys and values; others have a state that goes with one batch."""
    kinds = (DynamicLayer, DynamicSlidingWindowLayer, DummyLayer)
    return all(type(layer) in kinds for layer in DynamicCache(config=config).layers)


def kv_cache_nbytes(cache: Cache) -> int:
    """Memory of the keys and values of all layers."""
    both = (getattr(layer, name, None) for layer in cache.layers for name in ("keys", "values"))
    return sum(one.nbytes for one in both if one is not None)


class BatchCache(Protocol):
    """`cache` is what the model is given; `lengths` are the rows' own, in their order."""

    cache: Cache
    lengths: list[int]

    def add(self, filled: Cache, lengths: Sequence[int]) -> None:
        """Further rows: those of `filled`, a DynamicCache padded on the left, which have `lengths` without padding."""

    def begin(self) -> torch.Tensor | None:
        """Room for one column more, and its mask (rows, columns with it); None where no row is padded."""

    def advance(self) -> None:
        """The column that the model has written is in use."""

    def remove(self, row: int) -> None:
        """The last row takes its place."""


class SingleGenerationCache:
    """Rows of one `add`, for any model; to be used again when all are gone."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._columns = 0
        self.cache: Cache = Cache(layers=[])
        self.lengths: list[int] = []

    def add(self, filled: Cache, lengths: Sequence[int]) -> None:
        assert not self.lengths
        self.cache, self.lengths, self._columns = filled, list(lengths), max(lengths)

    def begin(self) -> torch.Tensor | None:
        return _padding_mask(self.lengths, self._columns, self._device)

    def advance(self) -> None:
        self._columns += 1
        self.lengths = [length + 1 for length in self.lengths]

    def remove(self, row: int) -> None:
        order = list(range(len(self.lengths) - 1))
        if row < len(order):
            order[row] = len(order)
        self.lengths = [self.lengths[one] for one in order]
        kept: Any = torch.tensor(order, dtype=torch.long, device=self._device)
        self.cache.reorder_cache(kept)


def _padding_mask(lengths: Sequence[int], columns: int, device: torch.device) -> torch.Tensor | None:
    """(rows, columns + 1) of those that are no padding; None where all are."""
    if min(lengths) == columns:
        return None
    begins = torch.tensor([columns - length for length in lengths], device=device)
    return (torch.arange(columns + 1, device=device) >= begins[:, None]).long()


class _RightAlignedLayer(CacheLayerMixin):
    """A layer's keys and values, (rows, heads, columns, d_head), of which `rows` and columns `first` up to `end` are in
    use.

    Each layer has its own place for them: where memory ends in the middle of moving all, each is still right.
    """

    is_sliding = False

    def __init__(self) -> None:
        super().__init__()
        self.rows = self.first = self.end = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.keys, self.values = key_states[:0, :, :0], value_states[:0, :, :0]
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the next column; gives all columns in use and it."""
        keys, values = self.both
        n, first, end = self.rows, self.first, self.end
        keys[:n, :, end : end + 1] = key_states
        values[:n, :, end : end + 1] = value_states
        return keys[:n, :, first : end + 1], values[:n, :, first : end + 1]

    @property
    def both(self) -> tuple[torch.Tensor, torch.Tensor]:
        assert self.keys is not None and self.values is not None
        return self.keys, self.values

    def resize(self, rows: int, columns: int, start: int) -> None:
        """Buffers of another size; the columns in use begin at `start`."""
        end = start + self.end - self.first
        resized = []
        for old in self.both if self.is_initialized else ():
            new = old.new_zeros(rows, old.shape[1], columns, old.shape[3])
            new[: self.rows, :, start:end] = old[: self.rows, :, self.first : self.end]
            resized.append(new)
        if resized:
            self.keys, self.values = resized
        self.first, self.end = start, end

    def put(self, row: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """A row's (heads, T, d_head), up to the last column in use. Nothing stays of who had the row before."""
        end = self.end
        for buffer, new in zip(self.both, (keys, values), strict=True):
            buffer[row, :, : end - new.shape[1]] = 0
            buffer[row, :, end - new.shape[1] : end] = new

    def copy(self, row: int, to: int) -> None:
        for buffer in self.both:
            buffer[to, :, : self.end] = buffer[row, :, : self.end]

    def get_seq_length(self) -> int:
        return self.end - self.first

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_max_length(self) -> int:
        return -1


class RightAlignedCache:
    """Rows that come and go, for models that are `alignable`."""

    def __init__(self, config: PreTrainedConfig, device: torch.device) -> None:
        self._rows = self._columns = 0
        """That every layer has room for."""
        self._device = device
        layers = [
            one if isinstance(one, DummyLayer) else _RightAlignedLayer() for one in DynamicCache(config=config).layers
        ]
        self._layers = [one for one in layers if isinstance(one, _RightAlignedLayer)]
        self.cache: Cache = Cache(layers=list(layers))
        self.lengths: list[int] = []

    def add(self, filled: Cache, lengths: Sequence[int]) -> None:
        """Further rows: those of `filled`, a DynamicCache padded on the left, which have `lengths` without padding."""
        both = zip(self.cache.layers, filled.layers, strict=True)
        pairs = [
            (here, there)
            for here, there in both
            if isinstance(here, _RightAlignedLayer) and isinstance(there, DynamicLayer) and there.keys is not None
        ]
        for here, there in pairs:
            if not here.is_initialized:
                assert there.keys is not None and there.values is not None
                here.lazy_initialization(there.keys, there.values)
        self._make_room(len(self.lengths) + len(lengths), max(lengths))
        for row, length in enumerate(lengths):
            for here, there in pairs:
                assert there.keys is not None and there.values is not None
                kept = min(length, there.keys.shape[2])  # a sliding window keeps fewer
                here.put(len(self.lengths), there.keys[row, :, -kept:], there.values[row, :, -kept:])
            self.lengths.append(length)
        self._in_use()

    def begin(self) -> torch.Tensor | None:
        self._make_room(len(self.lengths), 0)
        return _padding_mask(self.lengths, max(self.lengths), self._device)

    def advance(self) -> None:
        for layer in self._layers:
            layer.end += 1
        self.lengths = [length + 1 for length in self.lengths]

    def remove(self, row: int) -> None:
        last = len(self.lengths) - 1
        if row != last:
            for layer in self._layers:
                if layer.is_initialized:
                    layer.copy(last, row)
        self.lengths[row] = self.lengths[last]
        self.lengths.pop()
        self._in_use()
        if not self.lengths:
            self._resize(0, 0, 0)

    def _in_use(self) -> None:
        for layer in self._layers:
            layer.rows = len(self.lengths)
            layer.first = layer.end - max(self.lengths, default=0)

    def _make_room(self, rows: int, longest: int) -> None:
        """For so many rows, for one of length `longest` before the last column in use, and for a column after it."""
        end = min((layer.end for layer in self._layers), default=0)
        if (
            rows <= self._rows
            and longest <= end
            and max((layer.end for layer in self._layers), default=0) < self._columns
        ):
            return
        used = max(self.lengths, default=0)
        start = max(0, longest - used)
        self._resize(rows, start + used + _SPARE_COLUMNS, start)

    def _resize(self, rows: int, columns: int, start: int) -> None:
        self._rows = self._columns = 0  # until all have it
        for layer in self._layers:
            layer.resize(rows, columns, start)
        self._rows, self._columns = rows, columns
