"""Sparse activations of every source on the contexts, in shards: one pass over the text for all sources.

A shard is a range of contexts. Its activations depend on the model, the sources, its tokens and the size of a batch
alone, so shards can be computed in any order, by any number of processes, and again after an interruption. A file
`<source>/<shard>.safetensors` has the activations of one source on one shard, sorted by feature, so that the
activations of a range of features are read without the others.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from memicos_engine.capture.capture import capture
from memicos_engine.capture.positions import included_positions, recipe_has_bos
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.sources.source import Source
from safetensors import safe_open
from safetensors.numpy import save_file
from scipy import sparse

from memicos_pipeline.corpus.contexts import PADDING

FORMAT_VERSION = 3
"""Version of the files' format; it is part of the work folder's name, so that no run continues files of another."""


@dataclass(frozen=True)
class ShardShape:
    """Number of contexts of a shard, and of a forward pass within it. Sums of floats depend on the latter."""

    contexts: int = 512
    batch: int = 8

    def ranges(self, count: int) -> list[tuple[int, int]]:
        """First context and end of each shard of `count` contexts."""
        return [(first, min(first + self.contexts, count)) for first in range(0, count, self.contexts)]


DEFAULT_SHAPE = ShardShape()


@dataclass(frozen=True)
class ShardActivations:
    """Activations of one source on the positions (P,) of a shard's flattened contexts, BOS and padding included.

    Feature f is active at `tokens[offsets[f]:offsets[f + 1]]`, ascending, with `values` (float32) there. `counted` (P,)
    is False at positions that do not count, which have no activations.
    """

    offsets: np.ndarray
    tokens: np.ndarray
    values: np.ndarray
    counted: np.ndarray


def missing_shards(work: Path, source_ids: Sequence[str], ranges: Sequence[tuple[int, int]]) -> list[int]:
    """Numbers of the shards with `ranges` of contexts that lack a file of one of the sources."""
    return [
        number
        for number in range(len(ranges))
        if not all(shard_path(work / source_id, number).exists() for source_id in source_ids)
    ]


@torch.inference_mode()
def run_shard(
    model: LanguageModel,
    sources: Sequence[Source],
    token_ids: np.ndarray,
    batch: int,
    on_contexts: Callable[[int], None] = lambda count: None,
) -> dict[str, ShardActivations]:
    """Activations of each source, by id, on the contexts `token_ids` (n, T), `batch` contexts in a forward pass.

    A feature is active where its value is above 0. `on_contexts` is called with the contexts of each forward pass.
    """
    parts: dict[str, list[tuple[np.ndarray, ...]]] = {source.id: [] for source in sources}
    hooks = [source.hook_name for source in sources]
    for first in range(0, len(token_ids), batch):
        ids, real = padded_batch(token_ids[first : first + batch], model.device)
        hidden = capture(model, ids, None if real.all() else real.long(), hooks)
        for source in sources:
            states = hidden[source.hook_name]
            has_bos = recipe_has_bos(source.recipe, model.bos_token_id)
            counted = (included_positions(states, source.recipe, has_bos) & real).flatten()
            features = source.encode(states.flatten(0, 1)) * counted[:, None]
            tokens, indices = (features > 0).nonzero(as_tuple=True)
            counts = torch.bincount(tokens, minlength=len(features))
            arrays = (counts, indices.int(), features[tokens, indices].float(), counted)
            parts[source.id].append(tuple(array.cpu().numpy() for array in arrays))
        on_contexts(len(ids))
    return {source.id: _by_feature(parts[source.id], source.d_sae) for source in sources}


def _by_feature(parts: list[tuple[np.ndarray, ...]], features: int) -> ShardActivations:
    counts, indices, values, counted = (np.concatenate(column) for column in zip(*parts, strict=True))
    offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    matrix = sparse.csr_matrix((values, indices, offsets), shape=(len(counts), features)).tocsc()
    return ShardActivations(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data, counted)


def shard_path(folder: Path, number: int) -> Path:
    """The file of shard `number` of the source whose activations are in `folder`."""
    return folder / f"{number:06d}.safetensors"


def write_shard(folder: Path, number: int, activations: ShardActivations) -> None:
    """Write a shard's file; a killed run leaves the complete file or none of its name."""
    folder.mkdir(parents=True, exist_ok=True)
    path = shard_path(folder, number)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    arrays = {name: np.ascontiguousarray(value) for name, value in vars(activations).items()}
    save_file(arrays, partial)
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def padded_batch(token_ids: np.ndarray, device: str | torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids (B, T) that the model can run, and whether each is a token of the context rather than PADDING (B, T)."""
    ids = torch.from_numpy(token_ids.astype(np.int64)).to(device)
    return ids.clamp(min=0), ids != PADDING


BYTES_OF_ACTIVATION = 48
"""Memory that an activation takes while the activations of several shards are joined."""


class StoredActivations:
    """The stored activations of one source with `features` (F) features, read a part at a time.

    `counts` (F,) has the number of activations of each feature, `counted` is the number of positions that count.
    Position p of a shard that begins with context c is c * `width` + p here.
    """

    def __init__(
        self, folder: Path, features: int, contexts: int, width: int, shape: ShardShape = DEFAULT_SHAPE
    ) -> None:
        self.features, self.contexts, self.width = features, contexts, width
        self._shards = [
            (shard_path(folder, number), first * width) for number, (first, _) in enumerate(shape.ranges(contexts))
        ]
        self.counts = np.zeros(features, dtype=np.int64)
        self.counted = 0
        for path, _ in self._shards:
            with safe_open(path, "numpy") as file:
                self.counts += np.diff(file.get_tensor("offsets"))
                self.counted += int(file.get_tensor("counted").sum())

    def blocks(self, max_bytes: int) -> Iterator[range]:
        """Ranges of features whose activations, as `columns` reads them, take `max_bytes`; at least one feature."""
        first, size = 0, 0
        for feature, count in enumerate(self.counts.tolist()):
            if feature > first and size + count * BYTES_OF_ACTIVATION > max_bytes:
                yield range(first, feature)
                first, size = feature, 0
            size += count * BYTES_OF_ACTIVATION
        yield range(first, self.features)

    def columns(self, block: range) -> sparse.csc_matrix:
        """Activations (positions, len(block)) of a range of features on all contexts."""
        parts: list[tuple[np.ndarray, ...]] = []
        for path, start in self._shards:
            with safe_open(path, "numpy") as file:
                offsets = file.get_slice("offsets")[block.start : block.stop + 1]
                first, end = int(offsets[0]), int(offsets[-1])
                if first == end:
                    continue
                tokens = file.get_slice("tokens")[first:end].astype(np.int64) + start
                values = file.get_slice("values")[first:end]
            owners = np.repeat(np.arange(len(block), dtype=np.int32), np.diff(offsets))
            parts.append((owners, tokens, values))
        shape = (self.contexts * self.width, len(block))
        if not parts:
            return sparse.csc_matrix(shape, dtype=np.float32)
        owners, tokens, values = (np.concatenate(column) for column in zip(*parts, strict=True))
        # stable: positions stay ascending within a feature
        order = np.argsort(owners, kind="stable")
        indptr = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=len(block)))])
        return sparse.csc_matrix((values[order], tokens[order], indptr), shape=shape)

    def shards(self) -> Iterator[sparse.csc_matrix]:
        """Activations (positions of the shard, F) of each shard, in order."""
        for path, _ in self._shards:
            with safe_open(path, "numpy") as file:
                arrays = (file.get_tensor("values"), file.get_tensor("tokens"), file.get_tensor("offsets"))
                positions = file.get_slice("counted").get_shape()[0]
            yield sparse.csc_matrix(arrays, shape=(positions, self.features))

    def sample(self, every: int) -> tuple[sparse.csc_matrix, int]:
        """Activations (positions, F) on every `every`-th context, in memory, and how many of the positions count."""
        matrices, counted = [], 0
        for (path, start), matrix in zip(self._shards, self.shards(), strict=True):
            with safe_open(path, "numpy") as file:
                positions = file.get_tensor("counted")
            contexts = (start + np.arange(len(positions))) // self.width
            rows = np.flatnonzero(contexts % every == 0)
            counted += int(positions[rows].sum())
            matrices.append(matrix.tocsr()[rows])
        return sparse.csc_matrix(sparse.vstack(matrices)), counted

    def counted_positions(self, contexts: np.ndarray) -> np.ndarray:
        """(positions,) bool: the positions of `contexts`, which ascend, that count."""
        parts = []
        for path, start in self._shards:
            with safe_open(path, "numpy") as file:
                counted = file.get_tensor("counted").reshape(-1, self.width)
            first = start // self.width
            chosen = contexts[(contexts >= first) & (contexts < first + len(counted))]
            parts.append(counted[chosen - first].reshape(-1))
        return np.concatenate(parts)
