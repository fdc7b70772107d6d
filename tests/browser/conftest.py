"""A real webapp for the browser of tests/conftest.py.

webapp_url   a webapp with the small dataset on a free port, in its own process and data folder
start_webapp serves a webapp with the given environment, for tests that need other settings
public_url   a webapp on the same database, bound to a public address
read_only_url   a read-only webapp on the same database
inference    its fake inference server, reset to the initial state
provider     the fake LLM provider of its autointerp server
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from memicos_autointerp.app import create_app as create_autointerp
from memicos_autointerp.settings import Settings as AutointerpSettings
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_testing.llm_provider import SERVER_KEY, LlmProvider
from memicos_testing.servers import free_port, in_thread
from memicos_testing.webapp.small_dataset import write_dataset


@pytest.fixture(scope="session")
def served_inference() -> Iterator[tuple[str, FakeInferenceServer]]:
    double = FakeInferenceServer()
    with in_thread(double.app()) as url:
        yield url, double


@pytest.fixture
def inference(served_inference: tuple[str, FakeInferenceServer]) -> Iterator[FakeInferenceServer]:
    served_inference[1].reset()
    yield served_inference[1]
    served_inference[1].reset()


@pytest.fixture(scope="session")
def running_provider() -> Iterator[LlmProvider]:
    with LlmProvider() as provider:
        yield provider


@pytest.fixture
def provider(running_provider: LlmProvider) -> LlmProvider:
    running_provider.reset()
    return running_provider


@pytest.fixture(scope="session")
def autointerp_url(running_provider: LlmProvider) -> Iterator[str]:
    values: dict[str, Any] = {"api_key": SERVER_KEY, "model": "own-model", "models": "some/model", "retries": 0}
    settings = AutointerpSettings(base_url=running_provider.base_url, **values)
    with in_thread(create_autointerp(settings)) as url:
        yield url


def wait_for(url: str, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, "the webapp ended"
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"{url} did not answer in {seconds} s")


@pytest.fixture(scope="session")
def webapp_environment(
    served_inference: tuple[str, FakeInferenceServer], autointerp_url: str
) -> Iterator[dict[str, str]]:
    """Environment of programs on a database with the small dataset and its vectors."""
    # outside pytest's folder: under root, PostgreSQL runs as another user, which the next pytest would lock out
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder) / "dataset"
        write_dataset(dataset, attributed=(3,))
        environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
        environment |= {
            "MEMICOS_DATA": f"{folder}/data",
            "MEMICOS_INFERENCE_STATUS_SECONDS": "0",
            "INFERENCE_URL": served_inference[0],
            "AUTOINTERP_URL": autointerp_url,
            # the browser and other tests use both cores
            "MEMICOS_AUTOINTERP_STATUS_SECONDS": "30",
        }
        for command in (["datasets.commands", str(dataset)], ["embeddings.commands"]):
            module = [sys.executable, "-m", f"memicos_webapp.{command[0]}", *command[1:]]
            subprocess.run(module, env=environment, check=True, capture_output=True)
        yield environment


@contextmanager
def webapp(environment: dict[str, str]) -> Iterator[str]:
    """The URL of a webapp in a separate process."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "memicos_webapp"], env={**environment, "MEMICOS_PORT": str(port)})
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="session")
def start_webapp() -> Callable[[dict[str, str]], AbstractContextManager[str]]:
    return webapp


@pytest.fixture(scope="session")
def webapp_url(webapp_environment: dict[str, str]) -> Iterator[str]:
    with webapp(webapp_environment) as url:
        yield url


@pytest.fixture(scope="module")
def public_url(webapp_environment: dict[str, str]) -> Iterator[str]:
    with webapp(webapp_environment | {"MEMICOS_HOST": "0.0.0.0"}) as url:
        yield url


@pytest.fixture(scope="module")
def read_only_url(webapp_environment: dict[str, str]) -> Iterator[str]:
    with webapp(webapp_environment | {"MEMICOS_READ_ONLY": "1"}) as url:
        yield url
