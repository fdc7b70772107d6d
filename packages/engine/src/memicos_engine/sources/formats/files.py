"""Read shapes and tensors from files of weights. No code in a file is ever run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, Any
from zipfile import ZipFile

import numpy as np
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file

from memicos_engine.errors import SourceError


def read_shapes(path: Path) -> dict[str, Any]:
    """Content of a file of weights, by name, with tensors on the meta device: shapes only, read from the headers.

    An array in a .npy has the name of its file.

    Raises: as `read_weights`.
    """
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            return {name: _meta_tensor(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    if path.suffix == ".npz":
        with ZipFile(path) as archive:
            return {name.removesuffix(".npy"): _npz_tensor(archive, name) for name in archive.namelist()}
    if path.suffix == ".npy":
        with path.open("rb") as file:
            return {path.stem: _meta_tensor(_npy_shape(file, str(path)))}
    return _read_torch(path, "meta")


def read_weights(path: Path) -> dict[str, Any]:
    """Content of a file of weights, by name, with tensors on the CPU in their stored dtype.

    Raises:
        SourceError: it is not safetensors, .npz, .npy or torch's format, or holds other objects than numbers and text.
        SafetensorError, BadZipFile, ValueError, RuntimeError: the file is damaged.
    """
    if path.suffix == ".safetensors":
        return dict(load_file(path))
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    if path.suffix == ".npy":
        return {path.stem: torch.from_numpy(np.load(path, allow_pickle=False))}
    return _read_torch(path, "cpu")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises SourceError where the file is missing or holds no JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SourceError(f"{path} is missing") from None
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise SourceError(f"{path} is not a JSON object")
    return content


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises SourceError where the file is missing or holds no mapping."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SourceError(f"{path} is missing") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SourceError(f"{path} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise SourceError(f"{path} is not a mapping")
    return content


def read_scalars(path: Path, names: Iterable[str]) -> dict[str, float]:
    """Tensors of one number in a .safetensors, by name. Raises RuntimeError for one of more numbers."""
    with safe_open(path, framework="pt") as file:
        return {name: float(file.get_tensor(name).item()) for name in names}


def _meta_tensor(shape: Any) -> torch.Tensor:
    return torch.empty(tuple(shape), device="meta")


def _npz_tensor(archive: ZipFile, name: str) -> torch.Tensor:
    with archive.open(name) as file:
        return _meta_tensor(_npy_shape(file, f"{archive.filename}: {name}"))


def _npy_shape(file: IO[bytes], location: str) -> tuple[int, ...]:
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(file)
    if dtype.hasobject:
        raise SourceError(f"{location} is a pickle, which is not read because it can run code")
    return shape


def _read_torch(path: Path, device: str) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except UnpicklingError as error:
        raise SourceError(
            f"{path} holds other objects than tensors, which are not read because a pickle can run code. "
            "Save its state dict alone, or use safetensors"
        ) from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise SourceError(f"{path} holds no state dict, but {type(content).__name__}")
    return content
