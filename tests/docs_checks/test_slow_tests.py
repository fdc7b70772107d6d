"""Every test marked slow is run by `make test-slow`, and the gate's `make test-slow` leaves out fast tests only."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GATE = "HARDENING_ARGS=-m slow"
NOT_PART = ("tests/buckets", "tests/chaos", "tests/hub_network", "tests/stack")
"""Folders of tests with commands of their own (`make test-buckets`, `make test-chaos`, …)."""


def pytest_runs(*variables: str) -> list[list[str]]:
    """The arguments of each call of pytest by `make test-slow`."""
    command = ["make", "-n", "test-slow", *variables]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = output.replace("\\\n", " ").splitlines()
    return [shlex.split(line.split("/pytest ", 1)[1]) for line in lines if "/pytest " in line]


def covered(file: str, arguments: list[str]) -> bool:
    """Whether a run of pytest has the slow tests of a file."""
    ignored = [arguments[i + 1] for i, argument in enumerate(arguments) if argument == "--ignore"]
    paths = [argument for argument in arguments if (ROOT / argument).exists() and argument not in ignored]
    return any(file == path or file.startswith(f"{path}/") for path in paths) and not any(
        file.startswith(f"{path}/") for path in ignored
    )


@pytest.mark.parametrize("variables", [(), (GATE,)])
def test_every_slow_test_has_a_command(variables: tuple[str, ...]) -> None:
    runs = pytest_runs(*variables)
    files = [
        str(file.relative_to(ROOT))
        for folder in ("packages", "services", "tests")
        for file in (ROOT / folder).rglob("test_*.py")
        if re.search(r"^\s*@?[^#\n]*pytest\.mark\.slow", file.read_text(), re.MULTILINE)
    ]
    files = [file for file in files if file != "tests/docs_checks/test_slow_tests.py" and not file.startswith(NOT_PART)]
    assert len(files) > 10
    assert [file for file in files if not any(covered(file, run) for run in runs)] == []


def test_the_gate_leaves_out_fast_tests_only() -> None:
    assert f"HARDENING_ARGS='{GATE.partition('=')[2]}'" in (ROOT / ".ci/run").read_text()
    (run,) = [run for run in pytest_runs(GATE) if "tests/hardening" in run and "--ignore" not in run]
    assert run[run.index("-m") + 1] == "slow"
    # the same command without it has every test
    (every,) = [run for run in pytest_runs() if "tests/hardening" in run and "--ignore" not in run]
    assert "-m" not in every
