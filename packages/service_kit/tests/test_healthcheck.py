"""The health check of containers: exit status and one line."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from memicos_service.healthcheck import check

RESPONSES = {
    "/healthy": (200, {"status": "healthy"}),
    "/ready": (200, {"status": "healthy", "state": "ready", "progress": "ready"}),
    "/loading": (200, {"status": "healthy", "state": "loading", "progress": "importing torch"}),
    "/failed": (200, {"status": "healthy", "state": "failed", "progress": "no memory"}),
    "/down": (503, {"message": "the database does not answer"}),
    "/list": (200, []),
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, body = RESPONSES[self.path]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/healthy", (True, "healthy")),
        ("/ready", (True, "ready")),
        ("/loading", (True, "loading: importing torch")),
        ("/failed", (False, "failed: no memory")),
    ],
)
def test_the_state_is_printed(url: str, path: str, expected: tuple[bool, str]) -> None:
    assert check(url + path) == expected


@pytest.mark.parametrize("path", ["/down", "/list"])
def test_another_response_is_not_healthy(url: str, path: str) -> None:
    healthy, line = check(url + path)
    assert not healthy and line.startswith(url) and "\n" not in line


def test_the_program_ends_with_a_status_and_a_line(url: str) -> None:
    def run(address: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "memicos_service.healthcheck", address]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        return result.returncode, result.stdout, result.stderr

    assert run(f"{url}/ready") == (0, "ready\n", "")
    assert run(f"{url}/failed") == (1, "failed: no memory\n", "")
    status, line, problem = run("http://127.0.0.1:1/health")
    assert status == 1 and line.count("\n") == 1 and "refused" in line and problem == ""
