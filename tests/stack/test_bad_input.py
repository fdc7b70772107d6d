"""What cannot start is one line that names what to do, and no container restarts without a reason in its log."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from memicos_testing.docker_stack import DOCKER, Stack, eventually, output, run

PROJECT = "memicos-test-bad"
WITHOUT_PGVECTOR = "memicos-test/postgres-without-pgvector"


@pytest.fixture
def webapp() -> Iterator[Stack]:
    stack = Stack("webapp", ("compose.yaml",), PROJECT)
    stack.remove()
    yield stack
    stack.remove()


@pytest.fixture
def other_demo() -> Iterator[Stack]:
    """A demo in a project of its own."""
    stack = Stack("demo", ("compose.demo.yaml",), PROJECT)
    stack.remove()
    yield stack
    stack.remove()


def refusal(stack: Stack, done: "subprocess.CompletedProcess[str]") -> str:
    """The one line with which a command that could not start a stack ends."""
    assert done.returncode != 0, done.stdout
    (line,) = [line for line in done.stderr.splitlines() if line.startswith(f"{stack.name}: ")]
    assert "Traceback" not in done.stdout + done.stderr
    return line


def assert_reasons(stack: Stack, service: str, reason: str) -> None:
    """Every start of a service that restarts logs one line with the reason, and no traceback."""
    restarts = eventually(lambda: stack.container(service)["RestartCount"])
    log = stack.logs(service)
    assert log.count(reason) >= restarts and "Traceback" not in log, log


def test_a_wrong_database_password(webapp: Stack) -> None:
    webapp.compose("up", "-d", "database")
    eventually(lambda: webapp.container("database")["State"]["Health"]["Status"] == "healthy")
    webapp.environment["POSTGRES_PASSWORD"] = "0123456789abcdef-not-the-first"
    line = refusal(webapp, webapp.make("webapp-localhost-run"))
    assert "webapp ended" in line and 'password authentication failed for user "memicos"' in line
    assert "0123456789abcdef" not in line
    assert_reasons(webapp, "webapp", "password authentication failed")


def test_postgresql_without_pgvector(webapp: Stack, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        "FROM pgvector/pgvector:pg18\nUSER root\nRUN find / -xdev -name vector.control -delete\n"
    )
    output("docker", "build", "-q", "-t", WITHOUT_PGVECTOR, str(tmp_path), DOCKER_BUILDKIT="0")
    overlay = str(Path(__file__).with_name("without-pgvector.yaml"))
    stack = Stack("webapp", (*webapp.files, overlay), PROJECT, webapp.port, {"DATABASE_IMAGE": WITHOUT_PGVECTOR})
    stack.compose("up", "-d", "database", "webapp")
    eventually(lambda: stack.container("webapp")["RestartCount"] >= 2)
    assert_reasons(stack, "webapp", "pgvector")
    lines = [line for line in stack.logs("webapp").splitlines() if "pgvector" in line]
    assert all(line.startswith("webapp: ") for line in lines), lines


def test_a_folder_for_the_model_that_is_not_writable(other_demo: Stack) -> None:
    with tempfile.TemporaryDirectory() as data:
        Path(data).chmod(0o755)
        other_demo.environment["INFERENCE_DATA"] = data
        line = refusal(other_demo, other_demo.make("webapp-demo-run"))
    assert "model ended with exit status 1: error: " in line and "must be writable for user 1000" in line


def test_a_half_written_env_file(other_demo: Stack, tmp_path: Path) -> None:
    lines = (DOCKER / ".env").read_text().splitlines(keepends=True)
    half = tmp_path / "half.env"
    half.write_text("".join(line for line in lines if not line.startswith("AUTOINTERP_SECRET=")))
    line = refusal(other_demo, other_demo.program("up", "demo", "--env-file", str(half)))
    assert "AUTOINTERP_SECRET is missing: make init-env adds it" in line
    assert run("docker", "ps", "-aq", "--filter", f"label=com.docker.compose.project={PROJECT}").stdout == ""


def test_an_unknown_config(webapp: Stack) -> None:
    stack = Stack("inference", ("compose.inference.yaml",), PROJECT, environment={"MODEL_SOURCESET": "gpt3.none"})
    line = refusal(stack, stack.make("inference-localhost-run"))
    assert "there is no config gpt3.none" in line and "gpt2-small.res-jb" in line


def test_a_memory_limit_below_the_model(demo: Stack) -> None:
    limited = Stack(demo.name, demo.files, demo.project, demo.port, {"INFERENCE_MEMORY": "800m"})
    try:
        line = refusal(limited, limited.make("webapp-demo-run"))
        assert "inference cannot load its model" in line and "does not fit into memory: it needs 0.5" in line
        assert "are available in the container" in line and "raise the container's memory limit" in line
        container = limited.container("inference")
        assert container["RestartCount"] == 0 and not container["State"]["OOMKilled"]
        assert "does not fit into memory" in limited.logs("inference")
    finally:
        restored = demo.make("webapp-demo-run")
    assert restored.returncode == 0, restored.stderr
