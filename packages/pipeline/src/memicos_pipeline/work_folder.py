"""The folder of harvested activations, named by everything that they depend on, and its lock."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from memicos_engine.sources.source import SaeSource, Source

from memicos_pipeline.corpus.contexts import chunks
from memicos_pipeline.dataset_lock import hold_lock
from memicos_pipeline.harvest import DEFAULT_SHAPE, FORMAT_VERSION, ShardShape

_NOT_WEIGHTS = {"_name_or_path", "transformers_version", "device", "metadata"}
"""Keys of a configuration that change no activation."""
LOCK_NAME = "generate.lock"


def work_folder(
    parent: Path,
    model: torch.nn.Module,
    sources: Sequence[Source],
    token_ids: np.ndarray,
    shape: ShardShape = DEFAULT_SHAPE,
) -> Path:
    """The folder under `parent` for activations of `model` and `sources` on contexts `token_ids` (N, T).

    The name is a hash of contents: of the loaded weights and configurations of model and sources, of the tokens, and of
    what sums of floats depend on, the shape of a shard and PyTorch's number of threads. So a hub repository that was
    updated, or a folder whose files were replaced, never continues older activations.
    """
    key = hashlib.sha256(f"{FORMAT_VERSION} {token_ids.shape} {token_ids.dtype}".encode())
    for chunk in chunks(token_ids):
        key.update(np.ascontiguousarray(chunk).data)
    key.update(f"\n{shape} {torch.get_num_threads()}".encode())
    config: Any = model.config
    _add_config(key, config.to_dict())
    _add_tensors(key, (*model.named_parameters(), *model.named_buffers()))
    for source in sources:
        key.update(f"\n{source.id} {source.recipe} {source.d_in} {source.d_sae} {source.architecture}".encode())
        if isinstance(source, SaeSource):
            _add_config(key, source.sae.cfg.to_dict())
            _add_tensors(key, source.sae.state_dict().items())
    return parent / key.hexdigest()[:12]


@contextmanager
def lock_work_folder(folder: Path) -> Iterator[None]:
    """Make a work folder and hold its lock. Raises ConfigError where another process holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with hold_lock(
        folder / LOCK_NAME,
        f"another `memicos generate` is using {folder}: wait until it ends, or set another folder as `work`",
    ):
        yield


def _add_config(key: "hashlib._Hash", config: dict[str, Any]) -> None:
    numbers = {name: value for name, value in config.items() if name not in _NOT_WEIGHTS}
    key.update(json.dumps(numbers, sort_keys=True, default=str).encode())


def _add_tensors(key: "hashlib._Hash", tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
    for name, tensor in tensors:
        key.update(f"\n{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        # numpy has no bfloat16, so the bytes are hashed
        key.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
