"""Stacks on a real docker engine. `make test-stack` runs these tests, `make test` does not.

They use a compose project and ports of their own, and delete the project's containers and volumes at the end. The
images that they build replace those of the same tag. `make test-stack TORCH_INDEX=` takes torch from pip's own indexes.
"""

import time
from collections.abc import Iterator

import pytest
from memicos_testing.docker_stack import SUMMARY, Stack, measure, output, run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if SUMMARY:
        terminalreporter.write_sep("=", "stacks, measured")
        for line in SUMMARY:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    """A docker engine; without one these tests have nothing to run on."""
    result = run("docker", "info")
    if result.returncode != 0:
        pytest.exit(f"make test-stack needs a docker engine: {result.stderr.strip()}", returncode=1)
    output("make", "init-env")


@pytest.fixture(scope="session")
def demo() -> Iterator[Stack]:
    """The demo, from a clean state to a page and a loaded model."""
    stack = Stack("demo", ("compose.demo.yaml",))
    stack.remove()
    started = time.monotonic()
    built = stack.make("webapp-demo-build")
    assert built.returncode == 0, built.stderr[-4000:]
    measure("make webapp-demo-build (cold where no layer is cached)", f"{time.monotonic() - started:.0f} s")
    started = time.monotonic()
    result = stack.make("webapp-demo-run")
    try:
        assert result.returncode == 0, (
            result.stdout[-3000:] + result.stderr[-3000:] + stack.compose("logs", "--tail", "20")
        )
        for line in result.stdout.splitlines():
            if line.startswith(("serves after", "inference, after")):
                measure("make webapp-demo-run, clean state", line)
        measure("make webapp-demo-run, clean state, in all", f"{time.monotonic() - started:.0f} s")
        yield stack
    finally:
        stack.remove()
