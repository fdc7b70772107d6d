"""`make demo` as one program: its output and its exit."""

import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest
from memicos_testing.demo_program import ROOT, Demo, Start, environment
from memicos_testing.processes import running_processes
from memicos_testing.webapp.small_dataset import write_dataset


def test_a_taken_port_is_named_with_its_listener(start: Start, data: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        demo = start(data, INFERENCE_PORT=str(port))
        line = demo.wait_for(f"port {port}")
        assert demo.process.wait(30) == 1
    assert "inference" in line and "INFERENCE_PORT" in line and "held by" in line
    assert not (data / "postgres").exists()


def test_a_data_folder_of_another_postgresql_is_refused(start: Start, data: Path) -> None:
    (data / "postgres").mkdir()
    (data / "postgres" / "PG_VERSION").write_text("16\n")
    demo = start(data)
    line = demo.wait_for("PostgreSQL 16")
    assert demo.process.wait(30) == 1
    assert f"mv {data / 'postgres'} " in line
    assert [path.name for path in (data / "postgres").iterdir()] == ["PG_VERSION"]


def test_a_folder_without_a_dataset_is_one_line(start: Start, data: Path, tmp_path: Path) -> None:
    demo = start(data, "--dataset", str(tmp_path))
    line = demo.wait_for("manifest")
    assert demo.process.wait(30) == 1
    assert str(tmp_path) in line


def test_a_port_that_an_orchestrator_set_is_ignored(start: Start, data: Path, tmp_path: Path) -> None:
    demo = start(data, "--dataset", str(tmp_path), INFERENCE_PORT="tcp://10.0.0.7:5002")
    demo.wait_for("INFERENCE_PORT in the environment: ignored")
    # then the default port is checked, and the folder that has no dataset
    demo.wait_for("port 5002, which inference needs|manifest")
    assert demo.process.wait(30) == 1


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"MEMICOS_HOST=127.0.0.1\nMEMICOS_PO", "line 2 of {} is not NAME=value: complete the line, or delete it"),
        (b"MEMICOS_PROT=3000\n", "line 1 of {}: unknown variable MEMICOS_PROT; the most similar name is MEMICOS_PORT"),
        (b"MEMICOS_HOST=\xff\n", "{} cannot be read: it is not UTF-8"),
    ],
)
def test_a_bad_env_file_is_one_line_before_anything_starts(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "demo").mkdir()
    for program in (ROOT / "demo").glob("*.py"):
        shutil.copy(program, tmp_path / "demo")
    (tmp_path / ".env").write_bytes(content)
    command = [sys.executable, str(tmp_path / "demo/run.py")]
    variables = environment(tmp_path / "data")
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1 and done.stderr == ""
    assert done.stdout == f"demo       | {problem.format(tmp_path / '.env')}\n"
    assert not (tmp_path / "data").exists()


def test_a_data_folder_that_cannot_be_written_is_one_line(start: Start, tmp_path: Path) -> None:
    (tmp_path / "a-file").touch()
    demo = start(tmp_path / "a-file" / "data")
    demo.wait_for("the data folder .* cannot be used .* set MEMICOS_DATA to another folder")
    assert demo.process.wait(30) == 1 and len(demo.lines) == 1


def test_everything_binds_to_loopback(demo: Demo) -> None:
    listening = {
        connection.laddr.ip
        for process in demo.family()
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_log_lines_name_their_service(demo: Demo) -> None:
    assert all(" | " in line for line in demo.lines)
    assert {line.split("|")[0].strip() for line in demo.lines} >= {"demo", "postgres", "webapp", "inference"}


def test_ctrl_c_ends_every_process(start: Start, data: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path)
    demo = start(data, "--dataset", str(tmp_path))
    demo.wait_for("pages are served")
    family = demo.family()
    assert len(family) >= 4
    server = psutil.Process(int((data / "postgres" / "postmaster.pid").read_text().split()[0]))
    assert demo.end(signal.SIGINT) == 0
    assert running_processes([*family, server]) == []


@pytest.mark.slow
def test_the_end_of_one_server_ends_the_others(start: Start, data: Path) -> None:
    demo = start(data)
    demo.wait_for("pages are served")
    family = demo.family()
    (webapp,) = [p for p in family if "memicos_webapp" in p.cmdline()]
    webapp.kill()
    assert demo.process.wait(60) == 1
    demo.wait_for("webapp was ended by SIGKILL")
    assert running_processes(family) == []


@pytest.mark.slow
def test_a_killed_inference_server_is_restarted(start: Start, data: Path) -> None:
    demo = start(data)
    demo.wait_for("pages are served")
    demo.wait_for("inference is ready")
    (inference,) = [p for p in demo.family() if "memicos_inference" in p.cmdline()]
    inference.kill()
    demo.wait_for("inference was ended by SIGKILL: it is restarted")
    # pages were served all the time
    assert httpx.get(f"{demo.webapp}/smollm2-135m-it/15-res-4k/0", timeout=60).status_code == 200
    (restarted,) = [p for p in demo.family() if "memicos_inference" in p.cmdline()]
    assert restarted.pid != inference.pid
    line = demo.wait_for("inference is ready again .* after its restart")
    assert line.endswith(f"work at {demo.webapp}")
    (autointerp,) = [p for p in demo.family() if "memicos_autointerp" in p.cmdline()]
    autointerp.kill()
    demo.wait_for(f"autointerp is ready again .* work at {demo.webapp}")
    assert demo.end(signal.SIGINT) == 0
    assert running_processes([inference, restarted]) == []


def test_the_origin_of_the_weights_is_printed(demo: Demo) -> None:
    origin = httpx.get(f"{demo.inference}/v1/capabilities", timeout=60).json()["origin"]
    assert "Q4_1 GGUF" in origin and "not the original" in origin
    assert "Q4_1 GGUF" in httpx.get(f"{demo.webapp}/smollm2-135m-it/15-res-4k/0", timeout=60).text
