"""Memory that a model's weights take, and memory that is available, both without loading anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import psutil
import torch

from memicos_engine.model.checkpoint import weight_files

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
MACHINE, CONTAINER = "machine", "container"


@dataclass(frozen=True)
class AvailableMemory:
    """Bytes that can be allocated. `owner` sets the limit: `machine`, `container` (a control group) or a device."""

    nbytes: int
    owner: str


def weight_bytes(folder: Path, dtype: torch.dtype) -> int:
    """Bytes of the weights in `folder` when floating-point tensors are `dtype`, from the safetensors headers.

    Raises:
        OSError, ValueError, KeyError: a file cannot be read or is damaged.
    """
    return sum(
        prod(tensor["shape"]) * dtype.itemsize if "F" in tensor["dtype"] else _stored_bytes(tensor)
        for file in weight_files(folder)
        for name, tensor in _read_header(file).items()
        if name != "__metadata__"
    )


def _stored_bytes(tensor: dict) -> int:
    start, end = tensor["data_offsets"]
    return end - start


def _read_header(file: Path) -> dict[str, dict]:
    """The header of a safetensors file: 8 bytes with its length, little-endian, then JSON."""
    with file.open("rb") as stored:
        length = int.from_bytes(stored.read(8), "little")
        if length > file.stat().st_size:
            raise ValueError(f"{file.name} is not a safetensors file")
        header = json.loads(stored.read(length))
    if not isinstance(header, dict):
        raise ValueError(f"{file.name} is not a safetensors file")
    return header


def available_on_host() -> AvailableMemory:
    """CPU memory that this process can allocate: of the machine, or of its control group where that is less."""
    machine = AvailableMemory(psutil.virtual_memory().available, MACHINE)
    limits = [AvailableMemory(nbytes, CONTAINER) for nbytes in _within_cgroups()]
    return min(machine, *limits, key=lambda memory: memory.nbytes) if limits else machine


def available_on_cuda(device: str) -> AvailableMemory:
    """Free memory of a CUDA device."""
    free, _ = torch.cuda.mem_get_info(device)
    return AvailableMemory(free, device)


def _within_cgroups() -> Iterator[int]:
    """Bytes that each control group of this process that has a memory limit still allows.

    Page cache counts as free: the kernel reclaims it.
    """
    for folder in _cgroup_folders():
        try:
            version_2 = (folder / "memory.max").exists()
            limit = (folder / ("memory.max" if version_2 else "memory.limit_in_bytes")).read_text().strip()
            used = int((folder / ("memory.current" if version_2 else "memory.usage_in_bytes")).read_text())
            statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except OSError:
            continue  # the root of version 2 has no limit, and folders of a container's host are not visible
        if limit == "max":
            continue
        prefix = "" if version_2 else "total_"
        cached = sum(int(statistics.get(prefix + name, 0)) for name in ("inactive_file", "active_file"))
        yield max(int(limit) - used + cached, 0)


def _cgroup_folders() -> Iterator[Path]:
    """The memory control groups of this process, of version 2 or 1, up to the root. In a container that is its own."""
    try:
        lines = OWN_CGROUPS.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = CGROUPS / "memory" if controllers else CGROUPS
        leaf = root / path.lstrip("/")
        yield from (folder for folder in (leaf, *leaf.parents) if folder == root or root in folder.parents)
