"""The three servers as programs: which host names they answer to, where they listen, and the headers of responses."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from memicos_testing.programs import PREFIXES, Program, environment, running_programs, wait_until_served
from memicos_testing.servers import free_port

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Program]]:
    with running_programs(tmp_path_factory.mktemp("servers")) as programs:
        yield programs


@pytest.fixture(params=PREFIXES)
def server(servers: dict[str, Program], request: pytest.FixtureRequest) -> Program:
    return servers[request.param]


def test_an_empty_address_to_bind_is_loopback(server: Program) -> None:
    listening = [c.laddr.ip for c in server.process.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert listening == ["127.0.0.1"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:5003", "127.0.0.1.evil.example", "0.0.0.0", ""])
def test_a_name_of_another_site_is_refused(server: Program, host: str) -> None:
    """A page of another site whose name resolves to 127.0.0.1 would be of the same origin for the browser."""
    paths = ["/health", "/docs", "/none", "/metrics", "/v1/capabilities", "/api/openapi.json"]
    responses = [server.client.get(path, headers={"Host": host}) for path in paths]
    body = {"activations": [{"tokens": ["a"], "values": [1.0]}]}
    responses.append(server.client.post("/v1/explain/default", json=body, headers={"Host": host}))
    assert [response.status_code for response in responses] == [403] * len(responses)
    assert all("_ALLOWED_HOSTS" in response.text for response in responses)


@pytest.mark.parametrize("host", ["localhost", "LocalHost:80", "127.0.0.1", "[::1]:5002"])
def test_names_of_this_machine_are_answered(server: Program, host: str) -> None:
    assert server.client.get("/health", headers={"Host": host}).status_code == 200


def test_every_response_has_security_headers(server: Program) -> None:
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


def test_a_wrong_method_names_the_right_ones(server: Program) -> None:
    paths = ["/health", *(path for path in routes(server) if "{" not in path)]
    for path in paths:
        response = server.client.request("PURGE", path)
        assert response.status_code == 405, (path, response.text)
        assert response.headers["allow"], path


def routes(server: Program) -> list[str]:
    for path in ("/openapi.json", "/api/openapi.json"):
        response = server.client.get(path)
        if response.status_code == 200:
            return list(json.loads(response.text)["paths"])
    raise AssertionError("the server has no OpenAPI document")


@pytest.mark.parametrize("secret", ["", "a-secret"])
def test_autointerp_with_a_key_and_no_secret_warns_beyond_loopback(secret: str, tmp_path: Path) -> None:
    variables = {"HOST": "0.0.0.0", "PORT": str(free_port()), "API_KEY": "sk-x", "SECRET": secret}
    with (tmp_path / "log").open("wb") as log_file:
        process = subprocess.Popen(
            [sys.executable, "-m", "memicos_autointerp"],
            cwd=tmp_path,
            env=environment() | {f"AUTOINTERP_{name}": value for name, value in variables.items()},
            stderr=log_file,
        )
    with httpx.Client(base_url=f"http://127.0.0.1:{variables['PORT']}") as client:
        # the warning is written before the server listens
        wait_until_served(client, process, tmp_path / "log")
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    log = (tmp_path / "log").read_text()
    assert ("set AUTOINTERP_SECRET" in log) == (secret == "")
    assert "sk-x" not in log


UNFINISHED = b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"


def test_several_signals_end_a_server_quietly(server: Program) -> None:
    """The last test of this module: the servers do not run afterwards."""
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(UNFINISHED)
        server.client.get("/health")
        earlier = len(server.log())
        for _ in range(3):
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.02)
        server.process.wait(60)
    log = server.log()[earlier:]
    assert "Traceback" not in log and "ERROR" not in log, log
