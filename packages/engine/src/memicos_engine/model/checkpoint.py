"""Read tensors from a model's safetensors files by parameter name."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from memicos_engine.model.language_model import LanguageModel


class Checkpoint:
    """The safetensors files that `model` was loaded from; empty if they are not in a local folder.

    transformers renames or merges tensors of some architectures when it loads them: `unmatched_names` lists the stored
    tensors that no parameter corresponds to.
    """

    def __init__(self, model: LanguageModel) -> None:
        running = model.hf.state_dict()
        prefix = model.hf.base_model_prefix
        self._locations: dict[str, tuple[Path, str]] = {}
        self.unmatched_names: list[str] = []
        for file in weight_files(Path(model.location)):
            with _open_safetensors(file) as stored:
                for key in stored.keys():  # noqa: SIM118 (no mapping)
                    candidates = (key, f"{prefix}.{key}", key.removeprefix(f"{prefix}."))
                    shape = list(stored.get_slice(key).get_shape())
                    name = next(
                        (name for name in candidates if name in running and list(running[name].shape) == shape), None
                    )
                    if name is None:
                        self.unmatched_names.append(key)
                    else:
                        self._locations[name] = (file, key)

    @property
    def names(self) -> list[str]:
        """Names of the stored parameters, file by file."""
        return list(self._locations)

    def tensors(self, names: Sequence[str]) -> Iterator[tuple[str, torch.Tensor]]:
        """(name, tensor as stored) of those `names` that are stored, loaded one at a time."""
        for name in names:
            if name in self._locations:
                file, key = self._locations[name]
                with _open_safetensors(file) as stored:
                    yield name, stored.get_tensor(key)

    def rows(self, name: str, indices: Sequence[int]) -> torch.Tensor | None:
        """Rows of a stored matrix, without reading the others; None if it is not stored."""
        if name not in self._locations:
            return None
        file, key = self._locations[name]
        with _open_safetensors(file) as stored:
            matrix = stored.get_slice(key)
            return torch.cat([matrix[index : index + 1] for index in indices])


def weight_files(folder: Path) -> list[Path]:
    """The weight files that transformers reads from a folder."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        return [folder / name for name in dict.fromkeys(names)]
    single = folder / "model.safetensors"
    return [single] if single.is_file() else []


@contextmanager
def _open_safetensors(file: Path) -> Iterator[Any]:
    with safe_open(file, framework="pt") as stored:
        yield stored
