"""`make doctor` on broken set-ups: one line with the remedy for each, and exit status 1."""

import ast
import asyncio
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import asyncpg
import pytest
from memicos_cli import doctor, stack_env
from memicos_webapp.database.embedded import temporary
from memicos_webapp.database.migrate import migrate
from sqlalchemy import make_url

ROOT = Path(__file__).parents[3]
OURS = ("MEMICOS_", "INFERENCE_", "AUTOINTERP_", "DOCTOR_", "DATABASE_URL")


def write_programs(folder: Path, **scripts: str) -> str:
    """A PATH whose first folder has the given shell scripts, and no other docker or driver."""
    folder.mkdir(exist_ok=True)
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return str(folder)


@pytest.fixture
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the checks find nothing wrong: docker answers, and the hub is not to be used."""
    environment_without_ours = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    ports = {}
    for prefix in ("MEMICOS", "INFERENCE", "AUTOINTERP"):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports[f"{prefix}_PORT"] = str(probe.getsockname()[1])
    return {
        **environment_without_ours,
        **ports,
        "PATH": write_programs(tmp_path_factory.mktemp("programs"), docker="exit 0"),
        "HF_HUB_OFFLINE": "1",
        "DOCTOR_DISK_GB": "0.01",
        "DOCTOR_MEMORY_GB": "0.01",
    }


def only_failure(root: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> str:
    """The only line of a wrong set-up."""
    assert doctor.run(root, environment) == 1
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.startswith("WRONG")]
    assert lines[-1] == "1 wrong: the lines that begin with WRONG say how to fix it"
    return line


def test_gpu_keys_and_files_that_commands_make_are_optional(
    tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor.run(tmp_path, environment) == 0
    output = capsys.readouterr().out
    assert all(f"note  {subject}" in output for subject in ("GPU", "env file", "keys", "versions"))
    assert output.endswith("nothing is wrong\n") and "make init-env" in output and "make setup" in output


def test_docker_hub_and_gpu_are_left_out_on_request(
    tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    del environment["HF_HUB_OFFLINE"]
    values = {
        **environment,
        "PATH": write_programs(tmp_path / "bin", **{"nvidia-smi": "exit 9"}),
        "HF_ENDPOINT": "http://127.0.0.1:9",
    }
    assert doctor.run(tmp_path, values) == 1
    output = capsys.readouterr().out
    assert "WRONG docker    not installed: https://docs.docker.com/engine/install has it\n" in output
    assert "WRONG GPU       a driver is installed, and nvidia-smi finds no GPU: restart the machine" in output
    assert "WRONG hub       http://127.0.0.1:9 cannot be reached: correct network or HTTPS_PROXY" in output
    assert "if you do not use docker or gpu or hub: make doctor WITHOUT=docker,gpu,hub\n3 wrong:" in output
    assert doctor.run(tmp_path, values, ("docker", "gpu")) == 1
    output = capsys.readouterr().out
    assert output.count("\nWRONG ") == 1 and "note  docker    not checked" in output and "WITHOUT=hub\n" in output
    assert doctor.run(tmp_path, values, ("docker", "gpu", "hub")) == 0
    assert capsys.readouterr().out.endswith("nothing is wrong\n")


@pytest.mark.parametrize(("names", "status"), [("", 1), ("docker", 0), ("hub, docker", 0), ("dokcer", 2)])
def test_make_doctor_passes_on_what_is_left_out(
    tmp_path: Path, environment: dict[str, str], names: str, status: int
) -> None:
    for part in ("Makefile", "packages"):
        (tmp_path / part).symlink_to(ROOT / part)
    path = write_programs(tmp_path / "bin")
    for name in ("bash", "sh", "sed"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or "")
    values = {name: value for name, value in environment.items() if not name.startswith("MAKE")}
    command = [shutil.which("make") or "", "-s", "doctor", f"WITHOUT={names}", f"PYTHON={sys.executable}"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**values, "PATH": path}, capture_output=True, text=True, check=False
    )
    # make itself ends with 2
    assert done.returncode == (2 if status else 0), done.stdout + done.stderr
    assert f"Error {status}" in done.stderr or not status
    assert ("cannot leave out dokcer: name some of docker, gpu, hub" in done.stderr) == (status == 2)


def test_a_port_that_is_taken(tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        line = only_failure(tmp_path, {**environment, "INFERENCE_PORT": str(port)}, capsys)
    assert f"inference cannot listen on port {port}" in line and f"set INFERENCE_PORT={port + 10}" in line
    assert "MEMICOS_PORT=many is not a port" in only_failure(tmp_path, {**environment, "MEMICOS_PORT": "many"}, capsys)


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
    assert "INFERENCE_PORT=tcp://10.0.0.7:5002 is not a port" in only_failure(tmp_path, values, capsys)


@pytest.mark.parametrize(("setting", "subject"), [("DOCTOR_DISK_GB", "disk"), ("DOCTOR_MEMORY_GB", "memory")])
def test_a_full_machine(
    tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str], setting: str, subject: str
) -> None:
    line = only_failure(tmp_path, {**environment, setting: "1e6"}, capsys)
    assert line.startswith(f"WRONG {subject}") and "1e+06 GB are needed: " in line


@pytest.mark.parametrize("name", [".env", "deploy/docker/.env"])
def test_a_half_written_env_file(
    tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(stack_env.fresh_text() + "MEMICOS_PO")
    line = only_failure(tmp_path, environment, capsys)
    number = len(file.read_text().splitlines())
    assert line.startswith("WRONG env file") and f"line {number} is not NAME=value" in line


def test_an_old_python_and_old_packages(
    tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    result = doctor.check_python(doctor.Machine(tmp_path, environment), (3, 9, 2))
    assert result.state == doctor.WRONG and "3.9.2 is too old: install 3.11 or newer" in result.text
    for module in ("doctor", "compose_version", "env_file", "service_links", "stack_env"):
        ast.parse((ROOT / f"packages/cli/src/memicos_cli/{module}.py").read_text(), feature_version=(3, 8))
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/.ok").touch()
    (tmp_path / "requirements.lock").touch()
    os.utime(tmp_path / ".venv/.ok", (1, 1))
    assert ".venv is older than requirements.lock: make setup" in only_failure(tmp_path, environment, capsys)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """URL of a real PostgreSQL, in which `outsider` has a password and may create nothing."""

    async def set_up(url: str) -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute("CREATE ROLE outsider LOGIN PASSWORD 'the-right-one'")
            for name in ("plain", "empty", "migrated"):
                await connection.execute(f"CREATE DATABASE {name}")
            await connection.execute("ALTER DATABASE plain SET extension_control_path = '/nonexistent'")
            await connection.execute("SELECT pg_reload_conf()")
        finally:
            await connection.close()

    with temporary() as url:
        hba = Path(str(make_url(url).query["host"])) / "pg_hba.conf"
        hba.write_text("local all outsider scram-sha-256\n" + hba.read_text())
        asyncio.run(set_up(url))
        yield url


def of(url: str, database: str, user: str = "postgres", password: str | None = None) -> str:
    parsed = make_url(url).set(username=user, password=password, database=database)
    return parsed.render_as_string(hide_password=False)


@pytest.mark.parametrize(
    ("user", "database", "words"),
    [
        ("outsider:hidden", "empty", ("database", 'password authentication failed for user "outsider"', "ALTER ROLE")),
        ("postgres", "absent", ("database", 'database "absent" does not exist', "createdb absent")),
        ("postgres", "plain", ("pgvector", "has no extension vector", "sudo apt-get install postgresql-")),
        ("outsider:the-right-one", "empty", ("pgvector", "outsider may not create the extension", "CREATE EXTENSION")),
    ],
)
def test_a_database_that_cannot_be_used(
    tmp_path: Path,
    environment: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    postgresql: str,
    user: str,
    database: str,
    words: tuple[str, ...],
) -> None:
    name, _, password = user.partition(":")
    url = of(postgresql, database, name, password or None)
    line = only_failure(tmp_path, {**environment, "DATABASE_URL": url}, capsys)
    assert line.startswith(f"WRONG {words[0]}") and all(word in line for word in words), line
    assert "hidden" not in line and "the-right-one" not in line


def test_no_database_at_the_address(
    tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    line = only_failure(tmp_path, {**environment, "DATABASE_URL": "postgresql://u:hidden@127.0.0.1:9/m"}, capsys)
    assert "Nothing accepts connections at 127.0.0.1:9: start PostgreSQL there" in line and "hidden" not in line


def test_a_database_that_can_be_used_with_parameters_of_libpq(
    tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str], postgresql: str
) -> None:
    url = of(postgresql, "empty") + "&sslmode=prefer&connect_timeout=5&keepalives=1&application_name=mine"
    assert doctor.run(tmp_path, {**environment, "DATABASE_URL": url}) == 0
    assert "with pgvector answers" in capsys.readouterr().out


def test_a_webapp_that_is_not_installed_cannot_try_the_database(
    tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {**environment, "DATABASE_URL": "postgresql://u:hidden@127.0.0.1:9/m"}
    monkeypatch.setattr(doctor, "DATABASE_PROGRAM", ("-m", "memicos_absent"))
    assert "as the webapp is not installed: make setup" in only_failure(tmp_path, values, capsys)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "before the webapp is installed: make setup" in only_failure(tmp_path, values, capsys)


def test_a_database_of_a_newer_memicos(
    tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str], postgresql: str
) -> None:
    url = of(postgresql, "migrated")

    async def change_revision() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute("UPDATE alembic_version SET version_num = '9999'")
        finally:
            await connection.close()

    asyncio.run(migrate(url))
    values = {**environment, "DATABASE_URL": url}
    assert doctor.run(tmp_path, values) == 0
    capsys.readouterr()
    asyncio.run(change_revision())
    line = only_failure(tmp_path, values, capsys)
    assert line.startswith("WRONG database") and "migrated by a newer memicos (revision 9999" in line
    assert "git pull && make setup" in line


def test_an_unknown_variable(tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    listed = tmp_path / doctor.KNOWN_NAMES
    listed.parent.mkdir(parents=True)
    listed.write_text((ROOT / doctor.KNOWN_NAMES).read_text())
    assert doctor.run(tmp_path, {**environment, "MEMICOS_POORT": "1"}) == 0
    assert "note  settings  ignored in the environment: unknown variable MEMICOS_POORT" in capsys.readouterr().out
    (tmp_path / ".env").write_text("INFERENCE_SECRET_GPT2=x\nMEMICOS_POORT=3000\n")
    line = only_failure(tmp_path, environment, capsys)
    assert ".env: line 2: unknown variable MEMICOS_POORT; the most similar name is MEMICOS_PORT" in line


def test_a_limit_that_is_no_number(
    tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    line = only_failure(tmp_path, {**environment, "DOCTOR_DISK_GB": "much"}, capsys)
    assert "DOCTOR_DISK_GB is not a number" in line


def test_services_that_are_installed_alone(
    tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/.webapp").touch()
    assert doctor.run(tmp_path, environment) == 0
    assert "only webapp is installed in .venv; make setup installs everything" in capsys.readouterr().out
    (tmp_path / "requirements.lock").touch()
    os.utime(tmp_path / ".venv/.webapp", (1, 1))
    assert "older than requirements.lock: make webapp-localhost-install" in only_failure(tmp_path, environment, capsys)


@pytest.mark.parametrize(
    ("command", "reason"),
    [("echo 1.25.0", "docker-compose 1.25.0 is too old: 1.29 or newer"), ("exit 1", "docker-compose does not run")],
)
def test_a_docker_compose_that_cannot_be_used(
    command: str, reason: str, tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_programs(tmp_path / "bin", **{"docker": '[ "$1" = info ]', "docker-compose": command})
    line = only_failure(tmp_path, {**environment, "PATH": path}, capsys)
    assert line.startswith(f"WRONG docker    {reason}")


def test_a_user_who_may_not_use_docker(
    tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_programs(tmp_path / "bin", docker="echo ERROR: permission denied while trying to connect >&2\nexit 1")
    line = only_failure(tmp_path, {**environment, "PATH": path}, capsys)
    assert line.startswith("WRONG docker    this user may not use it: sudo usermod -aG docker")


@pytest.mark.parametrize("data", ["a-file", "a-file/data", "/proc/data"])
def test_a_data_folder_that_cannot_be_written(
    tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str], data: str
) -> None:
    (tmp_path / "a-file").touch()
    line = only_failure(tmp_path, {**environment, "MEMICOS_DATA": data}, capsys)
    assert line.startswith("WRONG data") and "or set MEMICOS_DATA to another folder" in line


@pytest.mark.parametrize(("status", "shown"), [(404, "ok    hub"), (503, "WRONG hub")])
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
        values = {name: value for name, value in environment.items() if name != "HF_HUB_OFFLINE"}
        assert doctor.run(tmp_path, {**values, "HF_ENDPOINT": url}) == (status == 503)
        hub.shutdown()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if " hub " in line]
    assert line.startswith(shown) and ("no download was tried" if status == 404 else "status 503") in line


def test_it_runs_without_any_package(tmp_path: Path, environment: dict[str, str]) -> None:
    path = str(ROOT / "packages/cli/src")
    program = f"import sys\nsys.path.insert(0, {path!r})\nfrom memicos_cli import doctor\ndoctor.doctor()"
    command = [sys.executable, "-S", "-c", program]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0 and "ok    Python" in result.stdout, result.stderr
