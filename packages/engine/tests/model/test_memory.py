"""Estimates of a model's memory, and the limits of control groups."""

import shutil
from pathlib import Path

import psutil
import pytest
import torch
from memicos_engine.model import memory
from memicos_engine.model.language_model import LanguageModel
from safetensors.torch import save_file

MIB = 1024**2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_estimate_is_the_size_of_the_parameters(
    small: LanguageModel, small_folder: Path, dtype: torch.dtype
) -> None:
    parameters = sum(parameter.numel() for parameter in small.hf.parameters())
    assert memory.weight_bytes(small_folder, dtype) == parameters * dtype.itemsize


def test_integer_tensors_keep_their_size_and_an_index_names_the_files(tmp_path: Path) -> None:
    save_file(
        {"a": torch.zeros(3, 5, dtype=torch.float16), "b": torch.zeros(7, dtype=torch.int64)},
        tmp_path / "model-1.safetensors",
    )
    shutil.copy(tmp_path / "model-1.safetensors", tmp_path / "consolidated.safetensors")  # read by nothing
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-1.safetensors"}}')
    assert memory.weight_bytes(tmp_path, torch.float32) == 3 * 5 * 4 + 7 * 8


def write_group(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "OWN_CGROUPS", tmp_path / "self")
    return tmp_path / "cgroup"


def test_version_2_takes_the_smallest_limit_on_the_way_to_the_root(groups: Path, tmp_path: Path) -> None:
    (tmp_path / "self").write_text("0::/system.slice/memicos.service\n")
    write_group(groups, {"memory.stat": ""})
    write_group(
        groups / "system.slice",
        {
            "memory.max": f"{20 * MIB}\n",
            "memory.current": f"{15 * MIB}\n",
            "memory.stat": f"anon {12 * MIB}\ninactive_file {MIB}\nactive_file {2 * MIB}\n",
        },
    )
    own = {"memory.max": "max\n", "memory.current": str(MIB), "memory.stat": "anon 1\n"}
    write_group(groups / "system.slice/memicos.service", own)
    assert memory.available_on_host() == memory.AvailableMemory(8 * MIB, memory.CONTAINER)


def test_version_1_in_a_container(groups: Path, tmp_path: Path) -> None:
    # the path is the host's; the container sees its own group as the root
    (tmp_path / "self").write_text("5:cpu,cpuacct:/docker/1a2b\n4:memory:/docker/1a2b\n")
    statistics = f"cache {9 * MIB}\ntotal_inactive_file {MIB}\ntotal_active_file 0\n"
    limits = {"memory.limit_in_bytes": str(10 * MIB), "memory.usage_in_bytes": str(4 * MIB)}
    write_group(groups / "memory", {**limits, "memory.stat": statistics})
    write_group(groups / "cpu,cpuacct", {**limits, "memory.stat": statistics})
    assert memory.available_on_host() == memory.AvailableMemory(7 * MIB, memory.CONTAINER)


def test_without_a_limit_it_is_the_memory_of_the_machine(groups: Path) -> None:
    available = memory.available_on_host()
    assert available.owner == memory.MACHINE
    assert 0.5 < available.nbytes / psutil.virtual_memory().available < 2
