"""A server as a process: its start, its faults at the start, and its end however the process that started it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from memicos_autointerp_core.providers.settings import ProviderSettings
from memicos_pipeline.config import ConfigError
from memicos_pipeline.replicas import process_supervisor, server_process
from memicos_pipeline.replicas.plan import ATTEMPTS, ReplicaPlan, losses_without_answer, replica_plan
from memicos_pipeline.replicas.server_process import ReplicaError, ServerProcess, free_port
from memicos_testing.llm_provider import vllm_stand_in
from memicos_testing.llm_provider.vllm_stand_in import Behaviour, write_behaviour

STAND_IN = f"{sys.executable} -m memicos_testing.llm_provider.vllm_stand_in"
HOST = "127.0.0.1"


@pytest.fixture(autouse=True)
def no_process_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    assert_ended(tmp_path)


def has_not_ended(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def assert_ended(folder: Path) -> None:
    end = time.monotonic() + 20
    while (left := vllm_stand_in.running(folder)) and time.monotonic() < end:
        time.sleep(0.05)
    assert left == []


def plan(folder: Path, count: int = 1, **settings: object) -> ReplicaPlan:
    values = {"vllm_command": STAND_IN, "vllm_start_seconds": 30, **settings}
    return replica_plan(ProviderSettings.model_validate(values), count, str(folder), None, 0, ())


def start(folder: Path, **settings: object) -> ServerProcess:
    port, made = free_port(HOST), plan(folder, 1, **settings)
    server = ServerProcess(made.command_line(HOST, port), {"VLLM_API_KEY": "k"}, HOST, port)
    try:
        server.wait_until_healthy(made.start_seconds)
    except ReplicaError:
        server.stop()
        raise
    return server


def test_a_server_is_healthy_when_it_has_loaded_and_ends_with_its_children(tmp_path: Path) -> None:
    write_behaviour(tmp_path, Behaviour(loading=1.0))
    began = time.monotonic()
    server = start(tmp_path)
    assert time.monotonic() - began >= 1.0 and server.healthy()
    running = vllm_stand_in.running(tmp_path)
    assert len(running) == 2 and vllm_stand_in.CHILD_NAME in running[1].cmdline()
    server.stop()
    assert not any(has_not_ended(process) for process in running)


@pytest.mark.slow
def test_a_server_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    write_behaviour(tmp_path, Behaviour(ignores_sigterm=True))
    server = start(tmp_path)
    began = time.monotonic()
    server.stop()
    assert vllm_stand_in.running(tmp_path) == [] and time.monotonic() - began >= process_supervisor.GRACE_SECONDS * 0.9


def test_a_server_that_ends_while_it_starts_shows_its_last_lines(tmp_path: Path) -> None:
    write_behaviour(tmp_path, Behaviour(fails=True))
    with pytest.raises(ReplicaError, match="ended while it started with status 1; its last lines:\n") as caught:
        start(tmp_path)
    lines = str(caught.value).splitlines()
    assert lines[1] == "INFO loading weights" and lines[-1] == "ValueError: No available memory for the cache blocks."


def test_a_server_that_is_not_healthy_in_time(tmp_path: Path) -> None:
    write_behaviour(tmp_path, Behaviour(loading=60))
    with pytest.raises(ReplicaError, match=r"did not answer within 2 s \(AUTOINTERP_VLLM_START_SECONDS\); its last"):
        start(tmp_path, vllm_start_seconds=2)


def test_vllm_is_not_installed(tmp_path: Path) -> None:
    with pytest.raises(ReplicaError, match=r"no-vllm is not installed on .*: install vLLM there .* AUTOINTERP_VLLM_"):
        start(tmp_path, vllm_command="no-vllm serve")


def test_a_lost_server_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_process, "HEALTH_SECONDS", 0.5)
    write_behaviour(tmp_path, Behaviour())
    server = start(tmp_path)
    # it hangs
    vllm_stand_in.running(tmp_path)[0].suspend()
    assert server.wait_until_lost().startswith("/health of python")
    vllm_stand_in.running(tmp_path)[0].resume()
    assert server.healthy()
    vllm_stand_in.running(tmp_path)[0].kill()
    assert "ended with status -9" in server.wait_until_lost()
    # and its child is not left
    assert_ended(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_ends_with_the_process_that_started_it(tmp_path: Path, number: signal.Signals) -> None:
    write_behaviour(tmp_path, Behaviour())
    port = free_port(HOST)
    command = plan(tmp_path).command_line(HOST, port)
    program = (
        "import sys, time\nfrom memicos_pipeline.replicas.server_process import ServerProcess\n"
        f"server = ServerProcess({command!r}, {{'VLLM_API_KEY': 'k'}}, {HOST!r}, {port})\n"
        "server.wait_until_healthy(30)\nprint('healthy', flush=True)\ntime.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None and starter.stdout.readline() == b"healthy\n"
        assert len(vllm_stand_in.running(tmp_path)) == 2
        # as Ray does at the end of an actor: its children too
        for child in psutil.Process(starter.pid).children():
            child.kill()
        os.kill(starter.pid, number)
    assert_ended(tmp_path)


def test_the_command_of_a_replica(tmp_path: Path) -> None:
    settings = ProviderSettings.model_validate({"vllm_command": "'/opt/v llm/bin/vllm' serve", "vllm_concurrency": 7})
    made = replica_plan(settings, 3, "Qwen/Qwen3-8B", None, 2, ("--max-model-len=8192",))
    assert made.command_line("10.0.0.1", 8000) == [
        "/opt/v llm/bin/vllm", "serve", "Qwen/Qwen3-8B", "--served-model-name", "Qwen/Qwen3-8B", "--host", "10.0.0.1",
        "--port", "8000", "--tensor-parallel-size", "2", "--max-model-len=8192",
    ]  # fmt: skip
    profile = made.profile()
    assert profile.limits.concurrency == 21 and profile.cost("Qwen/Qwen3-8B", 1000, 1000) == 0
    given = replica_plan(settings, 1, "m", None, 4, ("--tensor-parallel-size", "2", "--pipeline-parallel-size", "2"))
    assert given.command_line("h", 1).count("--tensor-parallel-size") == 1
    # a folder is named by its last part, or by the option
    folder = replica_plan(settings, 1, str(tmp_path), None, 1, ())
    assert (folder.weights, folder.model) == (str(tmp_path.resolve()), tmp_path.name)
    assert replica_plan(settings, 1, str(tmp_path), "qwen", 1, ()).model == "qwen"
    for wrong in ("'vllm", " "):
        with pytest.raises(ConfigError, match="AUTOINTERP_VLLM_COMMAND"):
            replica_plan(ProviderSettings.model_validate({"vllm_command": wrong}), 1, "m", None, 1, ())


def test_an_answer_begins_the_row_of_losses_anew() -> None:
    lost, row = 0, []
    for answered in (0, 0, 5, 0, 0):
        lost = losses_without_answer(lost, answered)
        row.append(lost)
    assert row == [1, 2, 1, 2, 3] and row[-1] == ATTEMPTS
