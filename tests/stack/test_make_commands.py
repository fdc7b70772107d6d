"""`make webapp-localhost-run`, `inference-localhost-run` and `autointerp-localhost-run`, in a project of their own."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from memicos_testing.docker_stack import ROOT, Stack, env_value, output, run
from memicos_testing.models.small_model import NAME, small_model, small_sae, write_extras

PROJECT = "memicos-test-commands"
CONFIG = "test-stack.res"
ENV_FILE = """MODEL_ID=glassllm-en
CUSTOM_HF_MODEL_ID=.data/model
SAE_FOLDER=.data/saes
SAE_SETS=["res"]
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A model and an SAE in a folder of the host that belongs to everyone, in place of the volume; and its config."""
    config = ROOT / f".env.inference.{CONFIG}"
    with tempfile.TemporaryDirectory() as data:
        path = Path(data)
        small_model(path / "model")
        small_sae(path / "saes/1-res", 1, 48)
        write_extras(path / "saes/1-res", [0], None)
        config.write_text(ENV_FILE)
        for entry in (path, *path.rglob("*")):
            entry.chmod(0o777 if entry.is_dir() else 0o644)
        try:
            yield path
        finally:
            config.unlink()


@pytest.fixture(scope="module")
def stacks(folder: Path) -> Iterator[dict[str, Stack]]:
    files = {
        "webapp": ("compose.yaml",),
        "autointerp": ("compose.yaml", "compose.autointerp-port.yaml"),
        "inference": ("compose.inference.yaml", "compose.inference-port.yaml"),
    }
    environment = {"MODEL_SOURCESET": CONFIG, "INFERENCE_DATA": str(folder)}
    stacks = {name: Stack(name, names, PROJECT, environment=environment) for name, names in files.items()}
    stacks["webapp"].remove()
    yield stacks
    stacks["webapp"].remove()


def test_the_webapp_runs_with_an_empty_writable_database(stacks: dict[str, Stack]) -> None:
    stack = stacks["webapp"]
    done = stack.make("webapp-localhost-run")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert f"http://127.0.0.1:{stack.port}" in done.stdout
    assert httpx.get(f"{stack.url}/").status_code == 200
    webapp = stack.container("webapp")["Id"]
    key = output("docker", "exec", webapp, "memicos", "key", "new", "test", "--scope", "write")
    assert key.strip() and "test" in output("docker", "exec", webapp, "memicos", "key", "list")
    services = {name for name in ("database", "webapp", "autointerp") if stack.container(name)["State"]["Running"]}
    assert services == {"database", "webapp", "autointerp"}


def test_inference_runs_on_its_port(stacks: dict[str, Stack]) -> None:
    stack = stacks["inference"]
    done = stack.make("inference-localhost-run")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    body = {"model": NAME, "prompt": "Alice sat by the Rabbit", "source": "1-res", "index": 0}
    url = f"{stack.url}/v1/activation/single"
    answer = httpx.post(url, json=body, headers={"X-SECRET-KEY": env_value("INFERENCE_SECRET")}, timeout=240)
    assert answer.status_code == 200 and len(answer.json()["activation"]["values"]) > 3, answer.text
    assert httpx.post(url, json=body).status_code == 401


def test_autointerp_runs_on_its_port(stacks: dict[str, Stack]) -> None:
    stack = stacks["autointerp"]
    done = stack.make("autointerp-localhost-run")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert httpx.get(f"{stack.url}/health").status_code == 200
    url = f"{stack.url}/v1/explain/default"
    assert httpx.post(url, json={}).status_code == 401
    assert httpx.post(url, json={}, headers={"X-SECRET-KEY": env_value("AUTOINTERP_SECRET")}).status_code == 422


def test_a_port_that_another_program_has_is_one_line(stacks: dict[str, Stack]) -> None:
    taken = Stack("demo", ("compose.demo.yaml",), "memicos-test-port", port=stacks["webapp"].port)
    done = taken.make("webapp-demo-run")
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("demo: ")]
    assert f"127.0.0.1:{taken.port} cannot be published" in line and "Set MEMICOS_PORT to a free port" in line


def test_down_stops_all_of_them(stacks: dict[str, Stack]) -> None:
    done = stacks["webapp"].make("webapp-localhost-down")
    assert done.returncode == 0, done.stderr
    assert run("docker", "ps", "-q", "--filter", f"label=com.docker.compose.project={PROJECT}").stdout == ""
