"""`make doctor` on broken set-ups: one line with the remedy for each, and exit status 1."""

import ast
import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from memicos_cli import doctor, stack_env
from memicos_webapp.database.embedded import temporary
from memicos_webapp.database.migrate import migrate

ROOT = Path(__file__).parents[3]
OURS = ("MEMICOS_", "INFERENCE_", "AUTOINTERP_", "DOCTOR_", "DATABASE_URL")


@pytest.fixture
def environment() -> dict[str, str]:
    """An environment in which the checks find nothing wrong, without a hub."""
    environment_without_ours = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    ports = {}
    for prefix in ("MEMICOS", "INFERENCE", "AUTOINTERP"):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports[f"{prefix}_PORT"] = str(probe.getsockname()[1])
    return {
        **environment_without_ours,
        **ports,
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "DOCTOR_DISK_GB": "0.01",
        "DOCTOR_MEMORY_GB": "0.01",
    }


def wrong(root: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> str:
    """The only line of a wrong set-up."""
    assert doctor.run(root, environment) == 1
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.startswith("WRONG")]
    assert lines[-1] == "1 wrong: the lines that begin with WRONG say how to fix it"
    return line


def test_gpu_keys_hub_and_secrets_are_optional(
    tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor.run(tmp_path, {**environment, "PATH": str(tmp_path)}) == 0
    output = capsys.readouterr().out
    assert all(f"note  {subject}" in output for subject in ("GPU", "hub", "docker", "env file", "keys", "versions"))
    assert output.endswith("nothing is wrong\n") and "make init-env" in output and "make setup" in output


def test_a_port_that_is_taken(tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        line = wrong(tmp_path, {**environment, "INFERENCE_PORT": str(port)}, capsys)
    assert f"inference cannot listen on port {port}" in line and f"set INFERENCE_PORT={port + 10}" in line
    assert "MEMICOS_PORT=many is not a port" in wrong(tmp_path, {**environment, "MEMICOS_PORT": "many"}, capsys)


def test_a_port_that_an_orchestrator_set_is_ignored(
    tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    values = {**environment, "INFERENCE_PORT": "tcp://10.0.0.7:5002"}
    doctor.run(tmp_path, values)
    shown = capsys.readouterr().out
    assert shown.startswith("note  ports     INFERENCE_PORT in the environment: ignored")
    assert "5002 is free for inference" in shown or "inference cannot listen on port 5002" in shown
    # in an env file it is a mistake
    del values["INFERENCE_PORT"]
    (tmp_path / ".env").write_text("INFERENCE_PORT=tcp://10.0.0.7:5002\n")
    assert "INFERENCE_PORT=tcp://10.0.0.7:5002 is not a port" in wrong(tmp_path, values, capsys)


@pytest.mark.parametrize(("setting", "subject"), [("DOCTOR_DISK_GB", "disk"), ("DOCTOR_MEMORY_GB", "memory")])
def test_a_full_machine(
    tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str], setting: str, subject: str
) -> None:
    line = wrong(tmp_path, {**environment, setting: "1e6"}, capsys)
    assert line.startswith(f"WRONG {subject}") and "1e+06 GB are needed: " in line


@pytest.mark.parametrize("name", [".env", "deploy/docker/.env"])
def test_a_half_written_env_file(
    tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(stack_env.fresh_text() + "MEMICOS_PO")
    line = wrong(tmp_path, environment, capsys)
    number = len(file.read_text().splitlines())
    assert line.startswith("WRONG env file") and f"line {number} is not NAME=value" in line


def test_an_old_python_and_old_packages(
    tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    result = doctor.check_python(doctor.Machine(tmp_path, environment), (3, 9, 2))
    assert result.state == doctor.WRONG and "3.9.2 is too old: install 3.11 or newer" in result.text
    for module in ("doctor", "env_file", "service_links", "stack_env"):
        ast.parse((ROOT / f"packages/cli/src/memicos_cli/{module}.py").read_text(), feature_version=(3, 8))
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/.ok").touch()
    (tmp_path / "requirements.lock").touch()
    os.utime(tmp_path / ".venv/.ok", (1, 1))
    assert ".venv is older than requirements.lock: make setup" in wrong(tmp_path, environment, capsys)


@pytest.fixture
def refusing_server() -> Iterator[int]:
    """The port of a server that refuses each login as PostgreSQL refuses a wrong password."""
    fields = b'SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user "memicos"\0\0'
    refusal = b"E" + (len(fields) + 4).to_bytes(4, "big") + fields
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    if connection.recv(4096)[4:8] == b"\x04\xd2\x16\x2f":  # asks for TLS
                        connection.sendall(b"N")
                        connection.recv(4096)
                    connection.sendall(refusal)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def test_a_wrong_database_password(
    tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str], refusing_server: int
) -> None:
    url = f"postgresql://memicos:hidden@127.0.0.1:{refusing_server}/memicos"
    line = wrong(tmp_path, {**environment, "DATABASE_URL": url}, capsys)
    assert "PostgreSQL refuses the user or password of DATABASE_URL" in line and "hidden" not in line


def test_no_database_at_the_address(
    tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    line = wrong(tmp_path, {**environment, "DATABASE_URL": "postgresql://u:hidden@127.0.0.1:9/m"}, capsys)
    assert "PostgreSQL does not answer at DATABASE_URL" in line and "hidden" not in line


def test_a_database_with_and_without_pgvector(
    tmp_path: Path,
    environment: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with temporary() as url:
        values = {**environment, "DATABASE_URL": url}
        assert doctor.run(tmp_path, values) == 0
        assert "with pgvector answers" in capsys.readouterr().out
        # the server does not have the required extension
        monkeypatch.setattr(doctor, "DATABASE_PROGRAM", doctor.DATABASE_PROGRAM.replace("'vector'", "'no_such'"))
        line = wrong(tmp_path, values, capsys)
    assert line.startswith("WRONG pgvector") and "has no extension vector: sudo apt-get install postgresql-" in line


def test_a_database_of_a_newer_memicos(
    tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    versions = tmp_path / doctor.MIGRATIONS
    versions.mkdir(parents=True)
    files = list((ROOT / doctor.MIGRATIONS).glob("*.py"))
    assert all(f'\nrevision = "{file.name.partition("_")[0]}"\n' in file.read_text() for file in files)
    names = [file.name for file in files]
    for name in names:
        (versions / name).touch()
    with temporary() as url:
        asyncio.run(migrate(url))
        values = {**environment, "DATABASE_URL": url}
        assert doctor.run(tmp_path, values) == 0
        capsys.readouterr()
        (versions / max(names)).unlink()
        line = wrong(tmp_path, values, capsys)
    assert line.startswith("WRONG database") and "migrated by a newer memicos (revision " in line
    assert "git pull && make setup" in line


@pytest.mark.parametrize("data", ["a-file", "a-file/data", "/proc/data"])
def test_a_data_folder_that_cannot_be_written(
    tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str], data: str
) -> None:
    (tmp_path / "a-file").touch()
    line = wrong(tmp_path, {**environment, "MEMICOS_DATA": data}, capsys)
    assert line.startswith("WRONG data") and "or set MEMICOS_DATA to another folder" in line


@pytest.mark.parametrize(("status", "shown"), [(404, "ok    hub"), (503, "note  hub")])
def test_what_is_known_of_the_hub(
    tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str], status: int, shown: str
) -> None:
    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_error(status)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{hub.server_port}"
        assert doctor.run(tmp_path, {**environment, "HF_ENDPOINT": url}) == 0
        hub.shutdown()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if " hub " in line]
    assert line.startswith(shown) and ("no download was tried" if status == 404 else "status 503") in line


def test_it_runs_without_any_package(tmp_path: Path, environment: dict[str, str]) -> None:
    path = str(ROOT / "packages/cli/src")
    program = f"import sys\nsys.path.insert(0, {path!r})\nfrom memicos_cli import doctor\ndoctor.doctor()"
    command = [sys.executable, "-S", "-c", program]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0 and "ok    Python" in result.stdout, result.stderr
