"""Resolve requirements.in into requirements.lock, with the hashes of every file that the package index has.

`python scripts/lock.py [uv's options, such as --upgrade]` is `make lock`.

torch is in requirements.lock without hashes, as its wheels differ by index (CPU, CUDA, the package index).
requirements.torch.lock has the hashes of the package index's wheels, and of those in folders of UV_FIND_LINKS.
`make setup TORCH_LOCK=requirements.torch.lock`, as .ci/run calls it, verifies torch too.
"""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK, TORCH_LOCK = ROOT / "requirements.lock", ROOT / "requirements.torch.lock"
_ENTRY = re.compile(r"^([a-z0-9][a-z0-9-]*==(?:.*\\\n)*.*\n)", re.M)
_HASH = re.compile(r"--hash=(sha256:[0-9a-f]{64})")
TORCH_HEADER = "# Hashes of torch's wheels by index; scripts/lock.py writes this file.\n"


def entries(text: str) -> list[str]:
    """The entries of a lock, each with the lines of its hashes; entries of members (`-e …`) are left out."""
    return _ENTRY.findall(text)


def pinned(entry: str) -> str:
    """An entry without its hashes: name, version and marker."""
    return entry.partition(" \\\n")[0].strip()


def hashes(entry: str) -> list[str]:
    return _HASH.findall(entry)


def name_of(entry: str) -> str:
    return entry.partition("==")[0]


def local_wheels(version: str) -> list[Path]:
    """Wheels of this version of torch in the folders of UV_FIND_LINKS, builds such as 2.13.0+cpu included."""
    folders = [Path(folder) for folder in re.split(r"[,\s]+", os.environ.get("UV_FIND_LINKS", "")) if folder]
    wheels = [wheel for folder in folders if folder.is_dir() for wheel in sorted(folder.glob("torch-*.whl"))]
    return [wheel for wheel in wheels if wheel.name.split("-")[1].partition("+")[0] == version]


def torch_lock(torch: str, before: str) -> str:
    """The text of requirements.torch.lock.

    Args:
        torch: torch's entry as uv resolved it, with the hashes of the package index.
        before: the present text, whose hashes are kept where it is of the same version.
    """
    kept = [digest for entry in entries(before) if pinned(entry) == pinned(torch) for digest in hashes(entry)]
    local = []
    for wheel in local_wheels(pinned(torch).partition("==")[2].split(" ")[0]):
        with wheel.open("rb") as file:
            local.append(f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}")
    lines = [f"    --hash={digest}" for digest in sorted({*kept, *hashes(torch), *local})]
    return TORCH_HEADER + " \\\n".join([pinned(torch), *lines]) + "\n"


def main() -> None:
    uv = ROOT / ".venv/bin/uv"
    options = ["--universal", "-p", "3.11", "--no-annotate", "--no-header", "--generate-hashes"]
    command = [uv, "pip", "compile", "-q", *options, *sys.argv[1:], "requirements.in", "-o", LOCK]
    # the versions and hashes of the package index, not those of a folder of this machine
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "UV_FIND_LINKS": ""}, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    resolved = entries(LOCK.read_text())
    (torch,) = [entry for entry in resolved if name_of(entry) == "torch"]
    LOCK.write_text("".join(f"{pinned(entry)}\n" if entry == torch else entry for entry in resolved))
    before = TORCH_LOCK.read_text() if TORCH_LOCK.exists() else ""
    TORCH_LOCK.write_text(torch_lock(torch, before))


if __name__ == "__main__":
    main()
