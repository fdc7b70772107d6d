"""Keys and values of a batch whose rows join and leave: all rows end at the same column, whatever their lengths.

The columns before a row's beginning are masked, like padding on the left. transformers can therefore make its attention
masks, those of sliding windows too, as for any padded batch: the distance of two columns is that of their positions.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from transformers import Cache, DynamicCache, PreTrainedConfig
from transformers.cache_utils import CacheLayerMixin, DummyLayer, DynamicLayer, DynamicSlidingWindowLayer

_SPARE_COLUMNS = 64
"""Spare columns that buffers get when they grow."""


def supports_row_batching(config: PreTrainedConfig) -> bool:
    """Whether the model's only state are keys and values; another state belongs to one fixed batch."""
    kinds = (DynamicLayer, DynamicSlidingWindowLayer, DummyLayer)
    return all(type(layer) in kinds for layer in DynamicCache(config=config).layers)


def kv_cache_nbytes(cache: Cache) -> int:
    """Memory of the keys and values of all layers."""
    tensors = (getattr(layer, name, None) for layer in cache.layers for name in ("keys", "values"))
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)


class BatchCache(Protocol):
    """`cache` is passed to the model; `lengths` are the number of tokens of each row."""

    cache: Cache
    lengths: list[int]

    def add(self, filled: Cache, lengths: Sequence[int]) -> None:
        """Add the rows of `filled`, a DynamicCache padded on the left; `lengths` are theirs without padding."""

    def begin(self) -> torch.Tensor | None:
        """Make room for one more column; return the mask (rows, columns + 1), None if no row is padded."""

    def advance(self) -> None:
        """Include the column that the model has written."""

    def remove(self, row: int) -> None:
        """Remove a row; the last row moves to its index."""


class SingleGenerationCache:
    """The rows of one `add`, for any model. Reusable once all rows are removed."""

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
        self.lengths = [self.lengths[index] for index in order]
        rows: Any = torch.tensor(order, dtype=torch.long, device=self._device)
        self.cache.reorder_cache(rows)


def _padding_mask(lengths: Sequence[int], columns: int, device: torch.device) -> torch.Tensor | None:
    """Mask (rows, columns + 1), 0 at padding; None if no row is padded."""
    if min(lengths) == columns:
        return None
    begins = torch.tensor([columns - length for length in lengths], device=device)
    return (torch.arange(columns + 1, device=device) >= begins[:, None]).long()


class _RightAlignedLayer(CacheLayerMixin):
    """A layer's buffers of keys and values (rows, heads, columns, d_head).

    In use are the first `rows` rows and the columns from `first` up to `end`. Each layer has its own buffers and
    bounds, so that a layer stays valid if memory runs out while others are resized.
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
        """Write the next column; return the keys and values in use, with that column."""
        keys, values = self.keys_and_values
        n, first, end = self.rows, self.first, self.end
        keys[:n, :, end : end + 1] = key_states
        values[:n, :, end : end + 1] = value_states
        return keys[:n, :, first : end + 1], values[:n, :, first : end + 1]

    @property
    def keys_and_values(self) -> tuple[torch.Tensor, torch.Tensor]:
        assert self.keys is not None and self.values is not None
        return self.keys, self.values

    def resize(self, rows: int, columns: int, start: int) -> None:
        """Replace the buffers by larger or smaller ones, in which the columns in use begin at `start`."""
        end = start + self.end - self.first
        resized = []
        for old in self.keys_and_values if self.is_initialized else ():
            new = old.new_zeros(rows, old.shape[1], columns, old.shape[3])
            new[: self.rows, :, start:end] = old[: self.rows, :, self.first : self.end]
            resized.append(new)
        if resized:
            self.keys, self.values = resized
        self.first, self.end = start, end

    def put(self, row: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Write a row's keys and values (heads, T, d_head), ending at the last column in use; zeros before them."""
        end = self.end
        for buffer, new in zip(self.keys_and_values, (keys, values), strict=True):
            buffer[row, :, : end - new.shape[1]] = 0
            buffer[row, :, end - new.shape[1] : end] = new

    def copy(self, row: int, to: int) -> None:
        for buffer in self.keys_and_values:
            buffer[to, :, : self.end] = buffer[row, :, : self.end]

    def get_seq_length(self) -> int:
        return self.end - self.first

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_max_length(self) -> int:
        return -1


class RightAlignedCache:
    """Rows that join and leave, for models with `supports_row_batching`."""

    def __init__(self, config: PreTrainedConfig, device: torch.device) -> None:
        self._rows = self._columns = 0
        """Rows and columns that the buffers of every layer have."""
        self._device = device
        layers = [
            layer if isinstance(layer, DummyLayer) else _RightAlignedLayer()
            for layer in DynamicCache(config=config).layers
        ]
        self._layers = [layer for layer in layers if isinstance(layer, _RightAlignedLayer)]
        self.cache: Cache = Cache(layers=list(layers))
        self.lengths: list[int] = []

    def add(self, filled: Cache, lengths: Sequence[int]) -> None:
        """As `BatchCache.add`."""
        pairs = [
            (own, new)
            for own, new in zip(self.cache.layers, filled.layers, strict=True)
            if isinstance(own, _RightAlignedLayer) and isinstance(new, DynamicLayer) and new.keys is not None
        ]
        for own, new in pairs:
            if not own.is_initialized:
                assert new.keys is not None and new.values is not None
                own.lazy_initialization(new.keys, new.values)
        self._make_room(len(self.lengths) + len(lengths), max(lengths))
        for row, length in enumerate(lengths):
            for own, new in pairs:
                assert new.keys is not None and new.values is not None
                n_columns = min(length, new.keys.shape[2])  # a sliding window keeps fewer
                own.put(len(self.lengths), new.keys[row, :, -n_columns:], new.values[row, :, -n_columns:])
            self.lengths.append(length)
        self._update_bounds()

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
        self._update_bounds()
        if not self.lengths:
            self._resize(0, 0, 0)

    def _update_bounds(self) -> None:
        for layer in self._layers:
            layer.rows = len(self.lengths)
            layer.first = layer.end - max(self.lengths, default=0)

    def _make_room(self, rows: int, longest: int) -> None:
        """Grow the buffers for `rows` rows, `longest` columns up to the last one in use, and one column more."""
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
        self._rows = self._columns = 0  # until every layer is resized
        for layer in self._layers:
            layer.resize(rows, columns, start)
        self._rows, self._columns = rows, columns
