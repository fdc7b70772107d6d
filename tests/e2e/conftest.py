"""The whole stack.

demo         the running demo: its URLs and its lines so far
provider     the fake LLM provider of the running demo
start        starts another demo with the given environment; all are stopped
data         a data folder for a demo
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from memicos_testing.demo_program import Demo, Start, data_folder, start_demo
from memicos_testing.llm_provider import SERVER_KEY, LlmProvider


@pytest.fixture(scope="session")
def start(model_folder: Path) -> Iterator[Start]:
    """Starts `make demo`'s program with the given environment; all are stopped."""
    running: list[Demo] = []

    def start(data: Path, *arguments: str, **more: str) -> Demo:
        demo = start_demo(data, *arguments, **more)
        running.append(demo)
        return demo

    yield start
    for demo in running:
        if demo.process.poll() is None:
            demo.end()


@pytest.fixture(scope="session")
def provider() -> Iterator[LlmProvider]:
    """The fake LLM provider of the running demo."""
    with LlmProvider() as provider:
        yield provider


@pytest.fixture(scope="session")
def demo(start: Start, provider: LlmProvider) -> Iterator[Demo]:
    with data_folder() as folder:
        demo = start(folder, AUTOINTERP_BASE_URL=provider.base_url, AUTOINTERP_API_KEY=SERVER_KEY)
        demo.wait_for("pages are served")
        demo.wait_for("inference is ready")
        yield demo
        demo.end()


@pytest.fixture
def data() -> Iterator[Path]:
    with data_folder() as folder:
        yield folder
