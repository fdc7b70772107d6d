"""Memory of the worker during imports, by the benchmark that prints it."""

import re
import subprocess
import sys

import pytest
from memicos_testing.demo_program import ROOT

pytestmark = pytest.mark.slow

LIMIT = 400e6 / 2**20
"""Most mebibytes of the worker, whatever the size of a source is."""


def test_imports_that_follow_one_another_stay_below_the_limit() -> None:
    """The second one replaces the explanations of the first, and begins with what that left unused."""
    command = [sys.executable, "benchmarks/data/import_memory.py", "--features", "4096"]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    peaks = [int(number) for number in re.findall(r"until the end of '[^']+': (\d+) MiB", output)]
    assert output.count("import with explanations") == 2 and max(peaks) < LIMIT, output
