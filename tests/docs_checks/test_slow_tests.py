"""Every test marked slow is run by `make test-slow`, which the gate runs."""

import re
import shlex
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOT_PART = ("tests/buckets", "tests/chaos", "tests/hub_network", "tests/ray_cluster", "tests/stack")
"""Folders of tests with commands of their own (`make test-buckets`, `make test-chaos`, …)."""


def pytest_runs() -> list[list[str]]:
    """The arguments of each call of pytest by `make test-slow`."""
    output = subprocess.run(["make", "-n", "test-slow"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = output.replace("\\\n", " ").splitlines()
    return [shlex.split(line.split("/pytest ", 1)[1]) for line in lines if "/pytest " in line]


def covered(file: str, arguments: list[str]) -> bool:
    """Whether a run of pytest has the slow tests of a file."""
    ignored = [arguments[i + 1] for i, argument in enumerate(arguments) if argument == "--ignore"]
    paths = [argument for argument in arguments if (ROOT / argument).exists() and argument not in ignored]
    return any(file == path or file.startswith(f"{path}/") for path in paths) and not any(
        file.startswith(f"{path}/") for path in ignored
    )


def test_every_slow_test_has_a_command() -> None:
    assert "make test-slow PYTEST_ARGS=--no-skips\n" in (ROOT / ".ci/run").read_text()
    runs = pytest_runs()
    files = [
        str(file.relative_to(ROOT))
        for folder in ("packages", "services", "tests")
        for file in (ROOT / folder).rglob("test_*.py")
        if re.search(r"^\s*@?[^#\n]*pytest\.mark\.slow", file.read_text(), re.MULTILINE)
    ]
    files = [file for file in files if file != "tests/docs_checks/test_slow_tests.py" and not file.startswith(NOT_PART)]
    assert len(files) > 10
    assert [file for file in files if not any(covered(file, run) for run in runs)] == []
