"""A RAY_ADDRESS at which no cluster answers: what is said, and how soon."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from memicos_pipeline.config import ConfigError, ExecutionConfig
from memicos_pipeline.execution import ray_environment
from memicos_pipeline.execution.executors import check_executor
from memicos_testing.models.tiny_generate import tiny_config
from memicos_testing.servers import free_port


@pytest.fixture
def listening() -> Iterator[str]:
    """The address of a server that accepts connections, and does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_wrong_address_is_named_before_anything_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config(tmp_path, ("1-res",), 32, 4)
    config.execution = ExecutionConfig(executor="ray", threads=1)
    monkeypatch.setattr("memicos_pipeline.execution.executors.require_ray", lambda option: None)
    monkeypatch.setattr(ray_environment, "CONNECT_SECONDS", 0.1)
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(
        ConfigError, match=f"RAY_ADDRESS={address}: .*refused.*: set it to the host:port .* or unset it"
    ):
        check_executor(config)


@pytest.mark.parametrize("address", ["head", "head:", "head:port", ":6379", "ray://head", "head:99999"])
def test_an_address_without_host_and_port_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ConfigError, match=f"RAY_ADDRESS={address} is no host:port"):
        ray_environment.check_cluster()


@pytest.mark.parametrize("form", ["", "local", "auto", "{}", "ray://{}"])
def test_other_addresses_are_left_to_ray(form: str, listening: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", form.format(listening))
    ray_environment.check_cluster()


@pytest.mark.parametrize("address", ["", "auto", "head:6379"])
@pytest.mark.parametrize("seconds", ["abc", "1.5", ""])
def test_a_time_to_wait_that_is_none_is_refused(address: str, seconds: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would end with a traceback."""
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setenv(ray_environment.WAIT_VARIABLE, seconds)
    with pytest.raises(ConfigError, match=f"{ray_environment.WAIT_VARIABLE}={seconds} is no whole number of seconds"):
        ray_environment.check_cluster()


def test_a_cluster_that_is_starting_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    port, times = free_port(), 0
    with socket.socket() as server:
        server.bind(("127.0.0.1", port))

        def sleep(seconds: float) -> None:
            nonlocal times
            times += 1
            server.listen()

        monkeypatch.setattr(time, "sleep", sleep)
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
        monkeypatch.setenv(ray_environment.WAIT_VARIABLE, "60")
        ray_environment.check_cluster()
    assert times == 1


@pytest.mark.slow
def test_a_server_that_is_no_cluster_is_given_up_after_seconds(listening: str) -> None:
    program = (
        "import os\n"
        "from contextlib import ExitStack\n"
        "from memicos_pipeline.execution.ray_environment import prepare_environment\n"
        "prepare_environment()\n"
        "import time\n"
        "from memicos_pipeline.execution.errors import WorkerError\n"
        "from memicos_pipeline.execution.ray_cluster import connect\n"
        "began = time.monotonic()\n"
        "try:\n"
        "    connect(1, ExitStack())\n"
        "except WorkerError as error:\n"
        "    print(time.monotonic() - began, error)\n"
        # a later check waits as long as the first
        f"assert {ray_environment.WAIT_VARIABLE!r} not in os.environ\n"
    )
    environment = {**os.environ, "RAY_ADDRESS": listening}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    seconds, _, message = ended.stdout.strip().partition(" ")
    assert float(seconds) < 60 and message.startswith(f"RAY_ADDRESS={listening}: no Ray cluster answers there"), message
