"""`memicos generate --executor ray` on a local cluster, and on one that RAY_ADDRESS names."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from memicos_pipeline.config import GenerateConfig
from memicos_pipeline.execution.ray_environment import prepare_environment
from memicos_testing.generate import ray_runs
from memicos_testing.servers import free_port

START_SECONDS = 180
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> GenerateConfig:
    return ray_runs.local_run(tmp_path_factory.mktemp("ray"))


@pytest.fixture(autouse=True)
def no_process_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    yield
    psutil.wait_procs(ray_runs.processes_of_ray(), timeout=20)
    assert ray_runs.processes_of_ray() == []


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_number_of_actors_changes_no_byte(config: GenerateConfig, tmp_path: Path, workers: int) -> None:
    again = ray_runs.ray_run(config, tmp_path, workers)
    assert ray_runs.contents(again) == ray_runs.contents(config)


def test_a_local_cluster_listens_on_the_loopback_address(config: GenerateConfig, tmp_path: Path) -> None:
    addresses: set[str] = set()
    ray_runs.ray_run(config, tmp_path, 1, lambda: addresses.update(ray_runs.listening_addresses()))
    assert addresses == {"127.0.0.1"}


def test_a_cluster_with_room_for_one_of_two_actors(
    config: GenerateConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a token, and the loopback address
    prepare_environment()
    address = f"127.0.0.1:{free_port()}"
    command = [Path(sys.executable).with_name("ray"), "start", "--head", "--block", "--include-dashboard=false"]
    options = [f"--port={address.rpartition(':')[2]}", "--num-cpus=1", "--object-store-memory=100000000"]
    # Ray waits for a cluster that is starting
    monkeypatch.setenv("RAY_gcs_server_port_wait_time_s", str(START_SECONDS))
    cluster = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, env=os.environ)
    try:
        monkeypatch.setenv("RAY_ADDRESS", address)
        again = ray_runs.ray_run(config, tmp_path, workers=2)
        assert cluster.poll() is None
    finally:
        cluster.terminate()
        cluster.wait(60)
    assert ray_runs.contents(again) == ray_runs.contents(config)
