"""Two inference servers in one stack, SmolLM2 and glassllm, and explanations by an LLM provider outside it."""

import os
import re
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from memicos_pipeline.generate import generate
from memicos_testing.docker_stack import Stack, eventually, measure, output
from memicos_testing.llm_provider import SERVER_KEY, LlmProvider, Reply
from memicos_testing.models.small_model import small_model, small_sae, write_extras
from memicos_testing.models.tiny_generate import tiny_config

GLASS_SECRET = "a-secret-of-the-second-server"
SMOL = {"modelId": "smollm2-135m-it", "layer": "15-res-4k", "index": "87"}
GLASS = {"modelId": "glass", "layer": "1-res", "index": "5"}
ANSWER_SECONDS = 60
"""Longest call while a server is killed and starts: a few seconds where no other program uses the processors."""
ENV_FILE = """MODEL_ID=glass
CUSTOM_HF_MODEL_ID=/glass/model
SAE_FOLDER=/glass/saes
SAE_SETS=["res"]
INFERENCE_SELFTEST_RESULTS=/tmp/selftest
"""


@dataclass(frozen=True)
class Servers:
    stack: Stack
    provider: LlmProvider

    def activation(self, client: httpx.Client, feature: dict[str, str]) -> httpx.Response:
        return client.post("/api/activation/new", json={"feature": feature, "customText": "Alice sat by the Rabbit."})


def write_glass(folder: Path) -> None:
    """The model, two SAEs, their dataset and the server's env file, readable by the containers' user."""
    small_model(folder / "model")
    for layer in (1, 2):
        small_sae(folder / f"saes/{layer}-res", layer, 48, seed=layer)
        write_extras(folder / f"saes/{layer}-res", [0], None)
    generate(tiny_config(folder, ("1-res", "2-res"), 32, 24), lambda line: None)
    (folder / "glass.env").write_text(ENV_FILE)
    (folder / "webapp.env").write_text(f"INFERENCE_SECRET_GLASS={GLASS_SECRET}\n")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


@pytest.fixture(scope="module")
def servers(demo: Stack) -> Iterator[Servers]:
    """The demo with a second inference server, and with a provider that runs on this machine."""
    overlay = str(Path(__file__).with_name("more-inference.yaml"))
    with tempfile.TemporaryDirectory() as data, LlmProvider(demo.gateway()) as provider:
        write_glass(Path(data))
        environment = {
            "MEMICOS_INFERENCE_HOSTS": "smol=http://inference:5002,glass=http://inference-glass:5002",
            "WEBAPP_ENV_FILE": f"{data}/webapp.env",
            "GLASS_SECRET": GLASS_SECRET,
            "GLASS_FOLDER": data,
            "AUTOINTERP_BASE_URL": provider.base_url,
            "AUTOINTERP_API_KEY": SERVER_KEY,
        }
        stack = Stack(demo.name, (*demo.files, overlay), demo.project, demo.port, environment)
        stack.compose("up", "-d", "webapp", "autointerp", "inference-glass")
        command = ("run", "--rm", "-T", "-v", f"{data}/out:/dataset:ro", "webapp", "memicos", "import", "/dataset")
        stack.compose(*command)
        yield Servers(stack, provider)
        stack.compose("rm", "-sf", "inference-glass")
        demo.compose("up", "-d", "webapp", "autointerp")


@pytest.fixture
def client(servers: Servers) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=servers.stack.url, timeout=240) as client:
        for feature in (SMOL, GLASS):
            eventually(lambda feature=feature: servers.activation(client, feature).status_code == 200)
        yield client


def test_each_server_has_its_own_secret(servers: Servers, client: httpx.Client) -> None:
    hosts = {host["name"]: host["state"] for host in client.get("/health").json()["inference"]}
    assert hosts == {"smol": "ready", "glass": "ready"}
    url = f"http://{servers.stack.address('inference-glass')}:5002/v1/capabilities"
    assert httpx.get(url, headers={"X-SECRET-KEY": GLASS_SECRET}).json()["model"] == "glass"
    assert httpx.get(url, headers={"X-SECRET-KEY": "the-secret-of-the-other-one"}).status_code == 401


def test_one_server_is_killed_during_requests(servers: Servers, client: httpx.Client) -> None:
    before = servers.stack.container("inference-glass")
    expected = {feature["modelId"]: servers.activation(client, feature).json()["values"] for feature in (SMOL, GLASS)}
    answers: dict[str, list[httpx.Response]] = {"smollm2-135m-it": [], "glass": []}
    calls: dict[str, list[tuple[float, float]]] = {"smollm2-135m-it": [], "glass": []}
    stop = threading.Event()

    def use(feature: dict[str, str]) -> None:
        with httpx.Client(base_url=servers.stack.url, timeout=240) as own:
            while not stop.is_set():
                sent = time.monotonic()
                answers[feature["modelId"]].append(servers.activation(own, feature))
                calls[feature["modelId"]].append((sent, time.monotonic()))
                time.sleep(0.1)

    users = [threading.Thread(target=use, args=(feature,)) for feature in (SMOL, GLASS)]
    for user in users:
        user.start()
    try:
        eventually(lambda: all(len(own) > 2 for own in answers.values()))
        began = time.monotonic()
        os.kill(before["State"]["Pid"], signal.SIGKILL)
        eventually(lambda: any(answer.status_code == 503 for answer in answers["glass"]))
        failed, other = len(answers["glass"]), len(answers["smollm2-135m-it"])
        eventually(lambda: answers["glass"][failed:] and answers["glass"][-1].status_code == 200)
        measure("kill -9 of one of two inference servers", f"its model answers after {time.monotonic() - began:.0f} s")
        assert len(answers["smollm2-135m-it"]) > other
    finally:
        stop.set()
        for user in users:
            user.join()
    for model, text in (("glass", "the killed server's model"), ("smollm2-135m-it", "the other model")):
        before_kill, after_kill = (
            [end - sent for sent, end in calls[model] if (end > began) == later] for later in (False, True)
        )
        seconds = f"{max(after_kill):.1f} s (before the kill {max(before_kill):.1f} s)"
        measure(f"slowest call after the kill, {text}", seconds)
        # no call waits for the read time-out (120 s)
        assert max(after_kill) < ANSWER_SECONDS, (model, seconds)
    assert servers.stack.container("inference-glass")["RestartCount"] == before["RestartCount"] + 1
    assert {answer.status_code for answer in answers["smollm2-135m-it"]} == {200}
    messages = {answer.json()["error"] for answer in answers["glass"] if answer.status_code != 200}
    # 502: the request that was running; the failed ones name the server, and why it cannot respond
    assert {answer.status_code for answer in answers["glass"]} <= {200, 502, 503}, messages
    reasons = ("glass: Inference is ", "http://inference-glass:5002")
    assert all(any(reason in message for reason in reasons) for message in messages), messages
    for own in answers.values():
        values = [answer.json()["values"] for answer in own if answer.status_code == 200]
        assert all(value == pytest.approx(values[0], rel=1e-4) for value in values)
    assert answers["glass"][-1].json()["values"] == pytest.approx(expected["glass"], rel=1e-4)


def test_a_model_that_no_server_has_is_named_with_the_servers(servers: Servers, client: httpx.Client) -> None:
    stop, start = (lambda verb=verb: servers.stack.compose(verb, "inference-glass") for verb in ("stop", "start"))
    stop()
    try:
        answer = eventually(lambda: is_status(503, lambda: servers.activation(client, GLASS)))
        assert "inference-glass:5002" in answer.json()["error"]
        assert servers.activation(client, SMOL).status_code == 200
        page = client.get("/glass/1-res/5")
        assert page.status_code == 200
    finally:
        start()


def is_status(status: int, send: Callable[[], httpx.Response]) -> httpx.Response | None:
    answer = send()
    return answer if answer.status_code == status else None


def sign_in(servers: Servers, client: httpx.Client) -> None:
    """Open the link that `memicos owner-link` prints in the webapp's container."""
    printed = output("docker", "exec", servers.stack.container("webapp")["Id"], "memicos", "owner-link")
    match = re.search(r"/account/sign-in#(\S+)", printed)
    assert match, printed
    signed_in = client.post("/account/sign-in", data={"token": match[1]}, headers={"Origin": servers.stack.url})
    assert signed_in.status_code == 303, signed_in.text


def test_an_explanation_needs_the_owner(servers: Servers, client: httpx.Client) -> None:
    body: dict[str, Any] = {
        "modelId": "glass",
        "layer": "1-res",
        "index": 5,
        "explanationType": "eleuther_acts_top20",
        "explanationModelName": "gpt-4.1-mini",
    }
    servers.provider.default = Reply(content="EXPLANATION: rabbits and sitting")
    refused = client.post("/api/explanation/generate", json=body)
    assert refused.status_code == 403 and "owner-link" in refused.text and servers.provider.requests == []
    sign_in(servers, client)
    response = client.post("/api/explanation/generate", json=body, headers={"Origin": servers.stack.url})
    assert response.status_code == 200, response.text
    assert response.json()["explanation"]["description"] == "rabbits and sitting"
    (request,) = servers.provider.requests
    assert request.headers["authorization"] == f"Bearer {SERVER_KEY}" and request.body["model"] == "gpt-4.1-mini"
    assert "rabbits and sitting" in client.get("/glass/1-res/5").text
