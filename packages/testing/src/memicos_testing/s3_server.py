"""A local server of S3 (moto), whose answers can be faults."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.request import Request, urlopen
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment
from xml.sax.saxutils import escape

import fsspec
import pytest

REGION = "us-east-1"
ERRORS = {403: ("Forbidden", "AccessDenied"), 503: ("Service Unavailable", "ServiceUnavailable")}
"""Reason and code of S3 of each status that a fault has."""

Fault = Callable[[str, str], int | None]
"""Called with method and path of a request: the status of a fault, HALF, or None for S3's own answer."""
HALF = -1
"""S3's own answer, half of whose body is sent before the connection is closed."""


@dataclass
class S3Server:
    """`requests` has method and path of each request."""

    url: str
    fault: Fault = lambda method, path: None
    requests: list[tuple[str, str]] = field(default_factory=list)

    def file_system(self) -> Any:
        """fsspec's file system of the server."""
        return fsspec.filesystem("s3", skip_instance_cache=True)

    def puts(self) -> list[str]:
        """Paths of the requests that put an object."""
        return [path for method, path in self.requests if method == "PUT"]


class _FaultyApplication:
    """The application of moto, some of whose answers are faults."""

    def __init__(self, application: WSGIApplication, server: S3Server) -> None:
        self._application, self._server = application, server

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self._server.requests.append((method, path))
        status = self._server.fault(method, path)
        if status is None or status == HALF:
            content = self._application(environ, start_response)
            return _half(content) if status == HALF else content
        # the connection would be closed with the body unread, which the client may see before the answer
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        reason, code = ERRORS[status]
        body = f"<Error><Code>{code}</Code><Message>{escape(reason)}</Message></Error>".encode()
        headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
        start_response(f"{status} {reason}", headers)
        return [b"" if method == "HEAD" else body]


def _half(content: Iterable[bytes]) -> Iterable[bytes]:
    body = b"".join(content)
    yield body[: len(body) // 2]


@contextmanager
def s3_server(monkeypatch: pytest.MonkeyPatch, bucket: str) -> Iterator[S3Server]:
    """A server with an empty bucket; the environment has its address and credentials, also that of processes."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from s3fs import S3FileSystem
    from werkzeug.serving import make_server

    server = S3Server("")
    application = _FaultyApplication(DomainDispatcherApplication(create_backend_app), server)
    http = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=http.serve_forever, name="s3")
    thread.start()
    server.url = f"http://127.0.0.1:{http.server_port}"
    for name, value in {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()
    try:
        # the objects of moto are those of the process
        urlopen(Request(f"{server.url}/moto-api/reset", method="POST")).close()
        server.file_system().mkdir(bucket)
        server.requests.clear()
        yield server
    finally:
        S3FileSystem.clear_instance_cache()
        http.shutdown()
        thread.join()
        http.server_close()
