"""Results of the short self-test from earlier starts, keyed by everything that they depend on.

A result is valid for the same weights (sha256), code, libraries, hardware, driver, dtype, threads and limits. Only
passed checks are stored. A digest is computed again where a file's path, size or time of change differ.
"""

import hashlib
import json
import logging
import platform
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import memicos_engine
from memicos_engine.atomic_write import write_text_atomically
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.selftest.checks import CheckLimits, CheckResult

log = logging.getLogger(__name__)

LIBRARIES = ("torch", "transformers", "transformer-lens", "sae-lens", "tokenizers", "safetensors", "numpy")
DIGESTS = "digests.json"
MAX_RESULTS = 50
"""Results that are kept; the oldest are deleted."""


@dataclass(frozen=True)
class FileState:
    """Path, size and modification time of a file; they show whether it may have changed."""

    path: str
    size: int
    mtime_ns: int


class ResultCache:
    """The stored results for one loaded model.

    Args:
        folder: Where results are stored.
        code: Folders of Python code that the results depend on, besides memicos_engine.
    """

    def __init__(
        self,
        folder: Path,
        model: LanguageModel,
        hook_names: Sequence[str],
        limits: CheckLimits,
        code: Iterable[Path] = (),
    ) -> None:
        self._folder = folder
        self._files = _file_states(Path(model.location))
        self._conditions = _conditions(model, hook_names, limits, code)

    def load(self) -> dict[str, CheckResult]:
        """Results that are valid now, by the name of the check, each with the time at which it was measured.

        Empty where a file of the model has changed since its digest was recorded, or where what is stored cannot be
        read.
        """
        digests = self._recorded_digests()
        if not self._files or any(file not in digests for file in self._files):
            return {}
        key = self._key({file.path: digests[file] for file in self._files})
        path = self._path(key)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            stored = content["results"]
            if content["sha256"] != _sha256(stored) or stored["key"] != key:
                raise ValueError("its checksum or its key differs")
            return {
                item["name"]: replace(
                    CheckResult(**{**item, "affects": tuple(item["affects"])}), measured_at=stored["measured_at"]
                )
                for item in stored["checks"]
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError) as error:
            log.warning("%s cannot be used, and the self-test runs again: %s", path, error)
            with suppress(OSError):
                path.unlink(missing_ok=True)
            return {}

    def store(self, checks: Iterable[CheckResult]) -> None:
        """Store those of `checks` that passed. Computes digests of files that have changed, which may take seconds.

        Nothing is stored where a file changes meanwhile.

        Raises:
            OSError: a file of the model cannot be read, or the folder cannot be written.
        """
        passed = [replace(check, measured_at=None) for check in checks if check.passed]
        if not passed or not self._files:
            return
        digests = self._recorded_digests()
        missing = [file for file in self._files if file not in digests]
        digests |= {file: _file_digest(Path(file.path)) for file in missing}
        if _file_states(Path(self._files[0].path).parent) != self._files:
            log.warning("the model's files have changed while they were read: the self-test is not remembered")
            return
        if missing:
            self._record_digests(digests)
        key = self._key({file.path: digests[file] for file in self._files})
        stored = {
            "key": key,
            "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "checks": [asdict(check) for check in passed],
        }
        write_text_atomically(
            self._path(key), json.dumps({"sha256": _sha256(stored), "results": stored}, indent=1) + "\n"
        )
        self._prune()

    def forget(self) -> None:
        """Delete the result that `load` would give."""
        digests = self._recorded_digests()
        if self._files and all(file in digests for file in self._files):
            self._path(self._key({file.path: digests[file] for file in self._files})).unlink(missing_ok=True)

    def _key(self, weights: Mapping[str, str]) -> dict[str, Any]:
        return {"weights": dict(sorted(weights.items())), **self._conditions}

    def _path(self, key: Mapping[str, Any]) -> Path:
        return self._folder / f"{_sha256(key)}.json"

    def _recorded_digests(self) -> dict[FileState, str]:
        path = self._folder / DIGESTS
        try:
            return {FileState(**item["file"]): str(item["sha256"]) for item in json.loads(path.read_text("utf-8"))}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError) as error:
            log.warning("%s cannot be used, and files are hashed again: %s", path, error)
            return {}

    def _record_digests(self, digests: Mapping[FileState, str]) -> None:
        """Record digests, without those of files that have changed or are gone."""
        current = [
            {"file": asdict(file), "sha256": digest}
            for file, digest in digests.items()
            if _file_state(Path(file.path)) == file
        ]
        write_text_atomically(self._folder / DIGESTS, json.dumps(current, indent=1) + "\n")

    def _prune(self) -> None:
        results = [path for path in self._folder.glob("*.json") if path.name != DIGESTS]
        for path in sorted(results, key=lambda path: path.stat().st_mtime)[:-MAX_RESULTS]:
            path.unlink(missing_ok=True)


def _conditions(
    model: LanguageModel, hook_names: Sequence[str], limits: CheckLimits, code: Iterable[Path]
) -> dict[str, Any]:
    """All besides the files of the model that results depend on, as JSON."""
    return {
        "model": model.id,
        "hooks": sorted(set(hook_names)),
        "limits": asdict(limits),
        "dtype": str(model.dtype),
        "attention": str(getattr(model.hf.config, "_attn_implementation", None)),
        "code": [_code_digest(folder) for folder in (Path(memicos_engine.__file__).parent, *code)],
        "libraries": {name: _version(name) for name in LIBRARIES},
        "python": sys.version,
        "threads": torch.get_num_threads(),
        "matmul_precision": torch.get_float32_matmul_precision(),
        "device": _device(model.device),
    }


def _device(device: torch.device) -> dict[str, str]:
    """The device, its hardware and the software that drives it."""
    facts = {
        "device": str(device),
        "cpu": _cpu_name(),
        "cpu_instructions": torch.backends.cpu.get_cpu_capability(),
        "system": platform.platform(),
    }
    if device.type == "cuda":
        driver = Path("/proc/driver/nvidia/version")
        facts |= {
            "gpu": torch.cuda.get_device_name(device),
            "capability": str(torch.cuda.get_device_capability(device)),
            "cuda": str(torch.version.cuda),
            "cudnn": str(torch.backends.cudnn.version()),
            "driver": driver.read_text() if driver.is_file() else "unknown",
        }
    return facts


@cache
def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


@cache
def _code_digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(f"{file.relative_to(folder)}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _file_states(folder: Path) -> list[FileState]:
    """States of the files in the model's folder; empty where it is no local folder."""
    if not folder.is_dir():
        return []
    states = (_file_state(path) for path in sorted(folder.iterdir()) if path.is_file())
    return [state for state in states if state is not None]


def _file_state(path: Path) -> FileState | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return FileState(str(path.absolute()), stat.st_size, stat.st_mtime_ns)


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
