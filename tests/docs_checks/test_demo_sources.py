"""The demo's SAEs are the trained files: SHA256SUMS lists exactly these."""

import hashlib
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "demo" / "sources"


def test_sums_are_those_of_the_files() -> None:
    lines = (FOLDER / "SHA256SUMS").read_text().splitlines()
    recorded = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    files = {str(path.relative_to(FOLDER)): path for path in FOLDER.glob("*/*")}
    assert recorded == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    assert {f"{layer}-res-4k/probe.json" for layer in (7, 15, 23)} <= set(files)
