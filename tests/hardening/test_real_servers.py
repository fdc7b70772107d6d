"""The three servers as programs: which host names they answer to, where they listen, and the headers of responses."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from memicos_testing.servers import free_port
from memicos_webapp.database.embedded import temporary

pytestmark = pytest.mark.slow

SERVERS = {"webapp": "MEMICOS", "inference": "INFERENCE", "autointerp": "AUTOINTERP"}
OURS = ("MEMICOS_", "INFERENCE_", "AUTOINTERP_", "DATABASE_URL", "SECRET", "OPENAI_", "MODEL_ID")
START_SECONDS = 120


@dataclass(frozen=True)
class Running:
    process: psutil.Process
    client: httpx.Client


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Running]]:
    """The programs, each with an empty address to bind; inference has no model, so it only reports that."""
    folder = tmp_path_factory.mktemp("servers")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    ports = {name: free_port() for name in SERVERS}
    environment |= {f"{prefix}_PORT": str(ports[name]) for name, prefix in SERVERS.items()}
    environment |= {f"{prefix}_HOST": "" for prefix in SERVERS.values()}
    environment |= {"AUTOINTERP_API_KEY": "sk-the-server's", "MODEL_ID": str(folder / "none")}
    with temporary() as url:
        environment["DATABASE_URL"] = url
        processes = {
            name: subprocess.Popen([sys.executable, "-m", f"memicos_{name}"], cwd=folder, env=environment)
            for name in SERVERS
        }
        try:
            running = {}
            for name, process in processes.items():
                client = httpx.Client(base_url=f"http://127.0.0.1:{ports[name]}", timeout=30)
                until_served(client, process)
                running[name] = Running(psutil.Process(process.pid), client)
            yield running
        finally:
            for process in processes.values():
                process.send_signal(signal.SIGTERM)
            for process in processes.values():
                process.wait(60)


def until_served(client: httpx.Client, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        assert process.poll() is None
        try:
            client.get("/health")
            return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("the server did not start in time")


@pytest.fixture(params=SERVERS)
def server(servers: dict[str, Running], request: pytest.FixtureRequest) -> Running:
    return servers[request.param]


def test_an_empty_address_to_bind_is_loopback(server: Running) -> None:
    listening = [c.laddr.ip for c in server.process.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert listening == ["127.0.0.1"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:5003", "127.0.0.1.evil.example", "0.0.0.0", ""])
def test_a_name_of_another_site_is_refused(server: Running, host: str) -> None:
    """A page of another site whose name resolves to 127.0.0.1 would be of the same origin for the browser."""
    paths = ["/health", "/docs", "/none", "/metrics", "/v1/capabilities", "/api/openapi.json"]
    responses = [server.client.get(path, headers={"Host": host}) for path in paths]
    body = {"activations": [{"tokens": ["a"], "values": [1.0]}]}
    responses.append(server.client.post("/v1/explain/default", json=body, headers={"Host": host}))
    assert [response.status_code for response in responses] == [403] * len(responses)
    assert all("_ALLOWED_HOSTS" in response.text for response in responses)


@pytest.mark.parametrize("host", ["localhost", "LocalHost:80", "127.0.0.1", "[::1]:5002"])
def test_names_of_this_machine_are_answered(server: Running, host: str) -> None:
    assert server.client.get("/health", headers={"Host": host}).status_code == 200


def test_every_response_has_security_headers(server: Running) -> None:
    requests = [
        server.client.get("/health"),
        server.client.get("/none/of/these/paths"),
        server.client.delete("/health"),
        server.client.get("/health", headers={"Host": "evil.example"}),
        server.client.post("/v1/explain/default", content=b"{"),
        server.client.post("/v1/tokenize", content=b" " * 5_000_000),
    ]
    assert len({response.status_code for response in requests}) >= 4
    for response in requests:
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "base-uri 'none'" in policy
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "same-origin"


def test_a_wrong_method_names_the_right_ones(server: Running) -> None:
    paths = ["/health", *(path for path in routes(server) if "{" not in path)]
    for path in paths:
        response = server.client.request("PURGE", path)
        assert response.status_code == 405, (path, response.text)
        assert response.headers["allow"], path


def routes(server: Running) -> list[str]:
    for path in ("/openapi.json", "/api/openapi.json"):
        response = server.client.get(path)
        if response.status_code == 200:
            return list(json.loads(response.text)["paths"])
    raise AssertionError("the server has no OpenAPI document")


def test_autointerp_with_a_key_and_no_secret_warns_beyond_loopback(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    lines = {}
    for secret in ("", "a-secret"):
        process = subprocess.Popen(
            [sys.executable, "-m", "memicos_autointerp"],
            cwd=tmp_path,
            env=environment
            | {
                "AUTOINTERP_HOST": "0.0.0.0",
                "AUTOINTERP_PORT": str(free_port()),
                "AUTOINTERP_API_KEY": "sk-x",
                "AUTOINTERP_SECRET": secret,
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        started = process.stderr.readline()
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        lines[secret] = started + process.communicate(timeout=30)[1]
    assert "set AUTOINTERP_SECRET" in lines[""] and "AUTOINTERP_SECRET" not in lines["a-secret"]
    assert "sk-x" not in lines[""]
