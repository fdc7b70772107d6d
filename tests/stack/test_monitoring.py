"""Prometheus with the config of compose.monitoring.yaml collects every metric that the dashboard reads.

The binary is Debian's, run in a container in place of the image `prom/prometheus`, which needs a registry. Grafana is
not run: the queries of its dashboard are sent to Prometheus.
"""

import json
import re
import shutil
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml
from memicos_testing.docker_stack import DOCKER, ROOT, Stack, env_value, eventually, measure, output, run

DASHBOARD = ROOT / "deploy/grafana/memicos-inference.json"
CUDA_ONLY = {"memicos_inference_device_memory_bytes"}


@pytest.fixture(scope="module")
def prometheus(demo: Stack) -> Iterator[httpx.Client]:
    """The API of Prometheus, in the network of the running demo."""
    program = shutil.which("prometheus")
    assert program, "Prometheus is not installed: apt-get install prometheus"
    service = yaml.safe_load((DOCKER / "compose.monitoring.yaml").read_text())["services"]["prometheus"]
    name = f"{demo.project}-prometheus"
    options = ["--name", name, "--network", f"{demo.project}_default", "--read-only", "--cap-drop", "ALL"]
    label = f"com.docker.compose.project={demo.project}"
    mounts = [f"{program}:/bin/prometheus:ro", f"{DOCKER}/prometheus/prometheus.yml:/etc/prometheus/prometheus.yml:ro"]
    volumes = [part for mount in mounts for part in ("-v", mount)]
    image = ["--tmpfs", "/prometheus", "--label", label, "python:3.11-slim-bookworm", "/bin/prometheus"]
    run("docker", "rm", "-f", name)
    output("docker", "run", "-d", *options, *volumes, *image, *service["command"])
    try:
        networks = json.loads(output("docker", "inspect", name))[0]["NetworkSettings"]["Networks"]
        address = networks[f"{demo.project}_default"]["IPAddress"]
        with httpx.Client(base_url=f"http://{address}:9090", timeout=60) as client:
            yield client
    finally:
        run("docker", "rm", "-f", name)


def get(client: httpx.Client, path: str, **parameters: str) -> Any:
    """Raises httpx.HTTPError where the response is an error."""
    return client.get(path, params=parameters).raise_for_status().json()["data"]


def expressions() -> list[str]:
    """Every query of the dashboard's panels, with its variables filled in."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    panels += [inner for panel in panels for inner in panel.get("panels", ())]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return [query.replace("$__rate_interval", "1m").replace("$instance", ".*") for query in queries]


def test_the_targets_are_up_and_every_metric_of_the_dashboard_is_stored(demo: Stack, prometheus: httpx.Client) -> None:
    feature = {"modelId": "smollm2-135m-it", "layer": "15-res-4k", "index": "87"}
    with httpx.Client(base_url=demo.url, timeout=240) as webapp:
        # the webapp learns a moment later that inference is ready
        activation = {"feature": feature, "customText": "Please wash the dishes."}
        eventually(lambda: webapp.post("/api/activation/new", json=activation).raise_for_status())
        features = [{**feature, "index": 87, "strength": 150}]
        body = {"modelId": "smollm2-135m-it", "prompt": "My hobby", "n_tokens": 4, "features": features}
        assert webapp.post("/api/steer", json=body).status_code == 200
    # a refusal has no series before the first one
    inference = f"http://{demo.address('inference')}:5002/v1/tokenize"
    assert httpx.post(inference, json={}, headers={"X-SECRET-KEY": env_value("INFERENCE_SECRET")}).status_code == 422
    targets = eventually(
        lambda: (
            (active := get(prometheus, "/api/v1/targets")["activeTargets"])
            and all(target["health"] == "up" for target in active)
            and active
        ),
    )
    assert [target["labels"]["job"] for target in targets] == ["memicos-inference"]
    wanted = {name for query in expressions() for name in re.findall(r"\b(?:memicos|process|python)_[a-z_]+", query)}
    assert len(wanted) > 30

    def missing() -> set[str]:
        return wanted - CUDA_ONLY - set(get(prometheus, "/api/v1/label/__name__/values"))

    eventually(lambda: not missing())
    for query in expressions():
        assert get(prometheus, "/api/v1/query", query=query)["resultType"] == "vector", query
    state = get(prometheus, "/api/v1/query", query='memicos_inference_model_state{state="ready"} == 1')["result"]
    assert len(state) == 1
    measure("Prometheus", f"{len(targets)} target up; {len(wanted - CUDA_ONLY)} metrics, {len(expressions())} queries")
