"""The folder of harvested activations, named by everything that they depend on, and its lock."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from memicos_engine.selftest import reconstruction_record

from memicos_pipeline.config import ConfigError
from memicos_pipeline.harvest import FORMAT_VERSION

_NOT_WEIGHTS = {"_name_or_path", "transformers_version"}
"""Keys of a model's configuration that change no activation."""
LOCK_NAME = "generate.lock"


def work_folder(parent: Path, model: torch.nn.Module, sources: Sequence[Path], token_ids: np.ndarray) -> Path:
    """The folder under `parent` for activations of `model` and of the SAEs in `sources` on contexts `token_ids` (N, T).

    The name is a hash of contents: of the loaded weights and configuration, of the SAEs' files and of the tokens. So a
    hub repository that was updated, or a folder whose files were replaced, never continues older activations.
    """
    key = hashlib.sha256(f"{FORMAT_VERSION} {token_ids.shape} {token_ids.dtype}".encode())
    key.update(token_ids.tobytes())
    _add_model(key, model)
    for folder in sources:
        for path in sorted(path for path in folder.iterdir() if path.is_file()):
            # a record of the SAE's outputs on a known text does not change its outputs
            if path.name == reconstruction_record.FILE_NAME:
                continue
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256")
            key.update(f"\n{folder.name}/{path.name} {digest.hexdigest()}".encode())
    return parent / key.hexdigest()[:12]


@contextmanager
def lock_work_folder(folder: Path) -> Iterator[None]:
    """Make a work folder and hold its lock. Raises ConfigError where another process holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with _hold(
        folder / LOCK_NAME,
        f"another `memicos generate` is using {folder}: wait until it ends, or set another folder as `work`",
    ):
        yield


@contextmanager
def lock_dataset(folder: Path) -> Iterator[None]:
    """Hold the lock of the dataset that is written to `folder`. Raises ConfigError where another process holds it.

    The lock's file is beside the folder, which is replaced as a whole.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _hold(
        folder.with_name(f".{folder.name}.lock"),
        f"another `memicos generate` is writing {folder}: wait until it ends, or set another folder as `out`",
    ):
        yield


@contextmanager
def _hold(path: Path, message: str) -> Iterator[None]:
    """Hold the lock file `path`; the system releases the lock of a process that is killed."""
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ConfigError(message) from error
    try:
        yield
    finally:
        lock.release()


def _add_model(key: "hashlib._Hash", model: Any) -> None:
    config = {name: value for name, value in model.config.to_dict().items() if name not in _NOT_WEIGHTS}
    key.update(json.dumps(config, sort_keys=True, default=str).encode())
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        key.update(f"\n{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        # numpy has no bfloat16, so the bytes are hashed
        key.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
