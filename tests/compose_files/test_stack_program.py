"""stack.py refuses set-ups that cannot start, with a one-line remedy; stand-in programs replace docker."""

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from memicos_testing.servers import free_port, in_thread
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "deploy/docker/stack.py"
RUNNING = """#!/bin/sh
case "$1" in compose) echo "docker: 'compose' is not a docker command." >&2; exit 1 ;; esac
"""
NOT_RUNNING = """#!/bin/sh
echo "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?" >&2
exit 1
"""
NOT_ALLOWED = """#!/bin/sh
echo "permission denied while trying to connect to the Docker daemon socket" >&2
exit 1
"""


def compose(version: str) -> str:
    """A docker-compose of a given version, without any other function."""
    return f'#!/bin/sh\n[ "$1" = version ] && echo {version} || {{ echo "it was called: $*" >&2; exit 17; }}\n'


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "env"):
        (folder / name).symlink_to(f"/bin/{name}")
    return folder


def install(folder: Path, name: str, text: str) -> None:
    file = folder / name
    file.write_text(text)
    file.chmod(0o755)


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    file = tmp_path / "stack.env"
    names = ("POSTGRES_PASSWORD", "INFERENCE_SECRET", "AUTOINTERP_SECRET", "MEMICOS_SECRET_KEY", "GRAFANA_PASSWORD")
    file.write_text("".join(f"{name}={index}123456789abcdef0123456789\n" for index, name in enumerate(names)))
    return file


def refusal(programs: Path, env_file: Path, stack: str = "demo", command: str = "up", **environment: str) -> str:
    """The last line of `up`, or of another command."""
    variables = {"PATH": str(programs), "MEMICOS_PORT": str(free_port()), "INFERENCE_PORT": str(free_port())}
    done = subprocess.run(
        [sys.executable, PROGRAM, command, stack, "--env-file", str(env_file)],
        capture_output=True,
        text=True,
        check=False,
        env={**variables, **environment},
    )
    assert done.returncode == 1 and done.stdout == "", done
    assert done.stderr.count("\n") == 1 and done.stderr.startswith(f"{stack}: "), done.stderr
    return done.stderr


def test_no_docker(programs: Path, env_file: Path) -> None:
    line = refusal(programs, env_file)
    assert "docker is not installed" in line and "https://docs.docker.com" in line and "make demo" in line


@pytest.mark.parametrize(
    ("docker", "advice"), [(NOT_RUNNING, "systemctl start docker"), (NOT_ALLOWED, "usermod -aG docker")]
)
def test_an_engine_that_cannot_be_reached(programs: Path, env_file: Path, docker: str, advice: str) -> None:
    install(programs, "docker", docker)
    assert advice in refusal(programs, env_file)


def test_no_compose(programs: Path, env_file: Path) -> None:
    install(programs, "docker", RUNNING)
    assert "docker compose is not installed" in refusal(programs, env_file)


@pytest.mark.parametrize("version", ["1.25.5", "1.28.6"])
def test_an_old_compose(programs: Path, env_file: Path, version: str) -> None:
    install(programs, "docker", RUNNING)
    install(programs, "docker-compose", compose(version))
    line = refusal(programs, env_file)
    assert f"docker-compose {version} is too old" in line and "1.29 or newer" in line


def test_a_compose_that_does_not_run(programs: Path, env_file: Path) -> None:
    install(programs, "docker", RUNNING)
    install(programs, "docker-compose", "#!/bin/sh\nexit 1\n")
    assert "docker-compose does not run: install compose again" in refusal(programs, env_file)


@pytest.fixture
def docker(programs: Path) -> Path:
    """A folder with a running engine and a supported docker-compose."""
    install(programs, "docker", RUNNING)
    install(programs, "docker-compose", compose("1.29.2"))
    return programs


def test_no_env_file(docker: Path, tmp_path: Path) -> None:
    line = refusal(docker, tmp_path / "absent.env")
    assert "there is no" in line and "make init-env" in line


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("POSTGRES_PASSWORD=0123456789abcdef0123\nINFERENCE_SEC", "line 2 is not NAME=value"),
        ("POSTGRES_PASSWORD=0123456789abcdef0123\n", "INFERENCE_SECRET is missing"),
        ("POSTGRES_PASSWORD=\n", "fewer than 16 characters"),
    ],
)
def test_a_half_written_env_file(docker: Path, tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "half.env"
    file.write_text(text)
    line = refusal(docker, file)
    assert problem in line and "0123456789abcdef" not in line


def test_an_unknown_config_and_none(docker: Path, env_file: Path) -> None:
    line = refusal(docker, env_file, "inference", MODEL_SOURCESET="gpt5.res")
    assert "there is no config gpt5.res" in line and "gpt2-small.res-jb" in line
    assert "MODEL_SOURCESET is not set" in refusal(docker, env_file, "inference")
    assert "MODEL_SOURCESET is not set" in refusal(docker, env_file, "inference-gpu", "build")


def test_a_port_that_is_taken_or_is_none(docker: Path, env_file: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        line = refusal(docker, env_file, MEMICOS_PORT=str(port))
    assert f"127.0.0.1:{port} cannot be published" in line and f"MEMICOS_PORT={port + 1}" in line
    assert "is not a port" in refusal(docker, env_file, MEMICOS_PORT="many")
    assert "is not a port" in refusal(docker, env_file, MEMICOS_PORT="３０００")


def test_compose_is_called_with_the_files_of_the_stack(docker: Path, env_file: Path) -> None:
    done = subprocess.run(
        [sys.executable, PROGRAM, "build", "inference-gpu", "--env-file", str(env_file)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": str(docker), "MODEL_SOURCESET": "gpt2-small.res-jb", "HOME": os.environ.get("HOME", "/")},
    )
    assert done.returncode == 17
    files = [f"-f {PROGRAM.parent / name}" for name in ("compose.inference.yaml", "compose.inference-port.yaml")]
    assert " ".join(files) in done.stderr and "compose.gpu.yaml" in done.stderr and "-p memicos " in done.stderr


def test_a_port_that_an_orchestrator_set_is_ignored_and_not_passed_on(docker: Path, env_file: Path) -> None:
    script = '#!/bin/sh\n[ "$1" = version ] && echo 1.29.2 || { echo "port: ${INFERENCE_PORT-unset}" >&2; exit 17; }\n'
    install(docker, "docker-compose", script)
    done = subprocess.run(
        [sys.executable, PROGRAM, "build", "demo", "--env-file", str(env_file)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": str(docker), "INFERENCE_PORT": "tcp://10.0.0.7:5002"},
    )
    assert done.returncode == 17
    assert done.stderr.startswith("demo: INFERENCE_PORT in the environment: ignored")
    assert done.stderr.endswith("port: unset\n")


@pytest.mark.parametrize("command", ["build", "down"])
@pytest.mark.parametrize(("variables", "seconds"), [({}, "600"), ({"COMPOSE_HTTP_TIMEOUT": "90"}, "90")])
def test_compose_waits_for_a_busy_engine_longer_than_its_default(
    docker: Path, env_file: Path, command: str, variables: dict[str, str], seconds: str
) -> None:
    script = '#!/bin/sh\n[ "$1" = version ] && echo 1.29.2 || { echo "waits $COMPOSE_HTTP_TIMEOUT" >&2; exit 17; }\n'
    install(docker, "docker-compose", script)
    done = subprocess.run(
        [sys.executable, PROGRAM, command, "demo", "--env-file", str(env_file)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": str(docker), **variables},
    )
    assert (done.returncode, done.stderr) == (17, f"waits {seconds}\n")


def test_the_start_waits_until_the_webapp_knows_an_inference_server_that_is_ready() -> None:
    specification = importlib.util.spec_from_file_location("stack_program", PROGRAM)
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    servers = [{"name": "smol", "state": "loading", "message": "inference is loading, 50 %"}]

    async def health(_: object) -> JSONResponse:
        return JSONResponse({"inference": servers})

    with in_thread(Starlette(routes=[Route("/health", health)])) as url:
        port = int(url.rpartition(":")[2])
        assert module.webapp_problem("127.0.0.1", port) == "smol: inference is loading, 50 %"
        servers.append({"name": "glass", "state": "ready", "message": "inference ready"})
        assert module.webapp_problem("0.0.0.0", port) is None
        servers.clear()
        assert module.webapp_problem("127.0.0.1", port) == "it has no server"
    assert module.webapp_problem("127.0.0.1", free_port()) == "it does not answer"
