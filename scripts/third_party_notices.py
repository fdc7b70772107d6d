"""Write the table of THIRD_PARTY_NOTICES.md: every package of requirements.lock with its licence.

`python scripts/third_party_notices.py` writes it; with `check` it fails where the file differs. Licences are those of
the installed packages' metadata; packages that `make setup` does not install here are in NOT_INSTALLED.
"""

import importlib.metadata
import re
import sys
from pathlib import Path

from lock import LOCK, entries, name_of

ROOT = Path(__file__).parents[1]
NOTICES = ROOT / "THIRD_PARTY_NOTICES.md"
_NVIDIA = "proprietary (NVIDIA)"
NOT_INSTALLED = {
    "colorama": "BSD License",
    "cuda-bindings": _NVIDIA,
    "cuda-pathfinder": "Apache-2.0",
    "cuda-toolkit": _NVIDIA,
    "httpx2-jsfetch": "BSD License",
    "jsonschema": "MIT",
    "jsonschema-specifications": "MIT",
    "nvidia-nccl-cu13": "BSD-3-Clause",
    "ray": "Apache 2.0",
    "referencing": "MIT",
    "rpds-py": "MIT",
    "triton": "MIT License",
    "tzdata": "Apache-2.0",
}
"""Licences of packages that are installed with Ray, with CUDA builds of torch, on Windows or in a browser only."""
NO_METADATA = {"axe-playwright-python": "MIT License; contains axe-core, MPL-2.0"}
"""Licences of packages whose metadata names none; their files do."""

TABLE = "| package | licence |\n|---|---|\n"


def licence(metadata: importlib.metadata.PackageMetadata) -> str:
    """The licence that metadata names: its expression, else its classifiers, else the first line of its text."""
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    classifiers = [text for text in metadata.get_all("Classifier") or [] if text.startswith("License ::")]
    names = [name for text in classifiers if (name := text.rpartition(" :: ")[2]) != "OSI Approved"]
    if names:
        return ", ".join(names)
    return metadata["License"].strip().partition("\n")[0] if "License" in metadata else ""


def licence_of(package: str) -> str:
    """
    Raises:
        SystemExit: it is not known.
    """
    try:
        text = licence(importlib.metadata.metadata(package))
    except importlib.metadata.PackageNotFoundError:
        text = NOT_INSTALLED.get(package, _NVIDIA if package.startswith("nvidia-") else "")
    text = text or NO_METADATA.get(package, "")
    if not text:
        sys.exit(f"the licence of {package} is not known: look it up, and add it to {Path(__file__).name}")
    return re.sub(r"\s+", " ", text).replace("|", "/")


def notices(before: str) -> str:
    """The file's text with a new table of packages, which is its end."""
    packages = sorted({name_of(entry) for entry in entries(LOCK.read_text())})
    head, table, _ = before.partition(TABLE)
    assert table
    return head + TABLE + "".join(f"| {package} | {licence_of(package)} |\n" for package in packages)


def main() -> None:
    before = NOTICES.read_text()
    text = notices(before)
    if sys.argv[1:] != ["check"]:
        NOTICES.write_text(text)
    elif before != text:
        sys.exit("THIRD_PARTY_NOTICES.md is not that of the locked packages: make notices")


if __name__ == "__main__":
    main()
