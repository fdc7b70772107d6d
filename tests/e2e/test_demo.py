"""`make demo` as one program: its output and its exit."""

import signal
import socket
from pathlib import Path

import httpx
import psutil
from memicos_testing.demo_program import Demo, Start, alive


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


def test_ctrl_c_ends_every_process(start: Start, data: Path) -> None:
    demo = start(data)
    demo.wait_for("pages are served")
    family = demo.family()
    assert len(family) >= 4
    server = psutil.Process(int((data / "postgres" / "postmaster.pid").read_text().split()[0]))
    assert demo.end(signal.SIGINT) == 0
    assert alive([*family, server]) == []


def test_the_end_of_one_server_ends_the_others(start: Start, data: Path) -> None:
    demo = start(data)
    demo.wait_for("pages are served")
    family = demo.family()
    (webapp,) = [p for p in family if "memicos_webapp" in p.cmdline()]
    webapp.kill()
    assert demo.process.wait(60) == 1
    demo.wait_for("webapp was ended by SIGKILL")
    assert alive(family) == []


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
    assert demo.end(signal.SIGINT) == 0
    assert alive([inference, restarted]) == []


def test_the_origin_of_the_weights_is_printed(demo: Demo) -> None:
    origin = httpx.get(f"{demo.inference}/v1/capabilities", timeout=60).json()["origin"]
    assert "Q4_1 GGUF" in origin and "not the original" in origin
    assert "Q4_1 GGUF" in httpx.get(f"{demo.webapp}/smollm2-135m-it/15-res-4k/0", timeout=60).text
