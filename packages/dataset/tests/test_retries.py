"""A request to a server that fails is repeated by one rule, and never by several inside one another."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from memicos_dataset.folder import Folder
from memicos_dataset.remote import retries
from memicos_dataset.remote.errors import UnavailableError, UnknownHostError

CONTENT = bytes(range(256)) * 20_000


class Handler(SimpleHTTPRequestHandler):
    """`failures` answers of each path and method are 503, or the first half of the file."""

    requests: Counter[tuple[str, str]]
    failures: float
    half: bool

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _fails(self) -> bool:
        self.requests[self.command, self.path] += 1
        return self.requests[self.command, self.path] <= self.failures

    def do_HEAD(self) -> None:
        if not self.half and self._fails():
            self.send_error(503)
        else:
            super().do_HEAD()

    def do_GET(self) -> None:
        if not self._fails():
            super().do_GET()
        elif self.half:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            with suppress(ConnectionError):
                self.wfile.write(CONTENT[: len(CONTENT) // 2])
            self.close_connection = True
        else:
            self.send_error(503)


@contextmanager
def http_server(folder: Path, failures: float, half: bool = False) -> Iterator[tuple[str, Counter[tuple[str, str]]]]:
    """The address of a server, and how often each method and path were requested."""
    requests: Counter[tuple[str, str]] = Counter()
    kind = type("Failing", (Handler,), {"requests": requests, "failures": failures, "half": half})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(kind, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", requests
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(CONTENT)
    return tmp_path


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits before repetitions, each of a second by a clock that moves by them alone."""
    passed: list[float] = []
    module = "memicos_dataset.remote.retries"
    monkeypatch.setattr(f"{module}.random", SimpleNamespace(uniform=lambda low, high: 1.0))
    monkeypatch.setattr(f"{module}.time", SimpleNamespace(sleep=passed.append, monotonic=lambda: sum(passed)))
    return passed


@pytest.mark.parametrize("patience", [0.5, 3.5])
def test_every_request_is_sent_as_often_as_the_patience_says(folder: Path, waits: list[float], patience: float) -> None:
    expected = 1 + int(patience)
    for access in (lambda f: f.read("file"), lambda f: f.names(), lambda f: f.size("file"), lambda f: f.exists("file")):
        waits.clear()
        with http_server(folder, failures=float("inf")) as (url, requests):
            with pytest.raises(UnavailableError, match=f"503.*It was repeated for {patience:g} s"):
                access(Folder(url, patience_seconds=patience))
            assert requests and set(requests.values()) == {expected}, requests
        assert len(waits) == expected - 1


def test_a_file_whose_connection_breaks_off_is_read_on(folder: Path, waits: list[float]) -> None:
    with http_server(folder, failures=3, half=True) as (url, requests):
        assert Folder(url, patience_seconds=10).read("file") == CONTENT
    assert requests == {("GET", "/file"): 4}


def test_a_file_that_always_breaks_off_ends_with_the_patience(folder: Path, waits: list[float]) -> None:
    with (
        http_server(folder, failures=float("inf"), half=True) as (url, requests),
        pytest.raises(UnavailableError, match="breaks off"),
        Folder(url, patience_seconds=3.5).open("file") as file,
    ):
        # at once: after each block that could be read, the patience begins anew
        file.read()
    assert requests == {("GET", "/file"): 4}


def test_a_request_that_took_longer_than_the_patience_is_repeated(waits: list[float]) -> None:
    """The patience begins with the first failure, which a server that does not answer delays by minutes."""
    calls = 0

    def call() -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            waits.append(300.0)
            raise TimeoutError("no answer")
        return "answer"

    assert retries.with_retries("http://host.example/", call, 5) == "answer"


def test_a_name_without_address_is_reported_at_once(waits: list[float]) -> None:
    with pytest.raises(UnknownHostError, match="name has no address"):
        Folder("http://host.invalid/d", patience_seconds=30).read("file")
    assert waits == []
