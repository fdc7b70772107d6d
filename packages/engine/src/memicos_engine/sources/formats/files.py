"""Weights in files: their names and shapes without their values, and the values. Nothing in a file is ever run."""

from __future__ import annotations

import json
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import ZipFile

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from memicos_engine.errors import SourceError


def read_shapes(path: Path) -> dict[str, Any]:
    """What a file of weights holds, tensors on the meta device: with a shape and without values. Reads headers only.

    Raises: as `read`.
    """
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            return {name: _shaped(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    if path.suffix == ".npz":
        with ZipFile(path) as archive:
            return {name.removesuffix(".npy"): _shaped(_npy_shape(archive, name)) for name in archive.namelist()}
    return _torch(path, "meta")


def read_weights(path: Path) -> dict[str, Any]:
    """What a file of weights holds, on the CPU, in the dtype that it is stored in.

    Raises:
        SourceError: it is not safetensors, .npz or torch's format, or holds more than numbers and text.
        Others of the readers: it is damaged.
    """
    if path.suffix == ".safetensors":
        return dict(load_file(path))
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    return _torch(path, "cpu")


def read_json(path: Path) -> dict[str, Any]:
    """Raises SourceError where the file is not there or is no JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SourceError(f"{path} is missing") from None
    except ValueError as error:
        raise SourceError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise SourceError(f"{path} is not a JSON object")
    return content


def _shaped(shape: Any) -> torch.Tensor:
    return torch.empty(tuple(shape), device="meta")


def _npy_shape(archive: ZipFile, name: str) -> tuple[int, ...]:
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
    if dtype.hasobject:
        raise SourceError(f"{archive.filename}: {name} is a pickle, and those are not read: they can hold code")
    return shape


def _torch(path: Path, device: str) -> dict[str, Any]:
    try:
        found = torch.load(path, map_location=device, weights_only=True)
    except UnpicklingError as error:
        raise SourceError(
            f"{path} holds more than tensors, and that is not read: a pickle can hold code. "
            "Save its state dict alone, or as safetensors"
        ) from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error})") from error
    if not isinstance(found, dict):
        raise SourceError(f"{path} holds no state dict, but {type(found).__name__}")
    return found
