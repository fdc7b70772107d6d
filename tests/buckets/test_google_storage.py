"""What errors of Google Cloud Storage say; a local server answers as it does."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from fsspec.config import conf
from gcsfs.core import GCSFileSystem
from memicos_dataset.folder import Folder
from memicos_dataset.remote.errors import AccessRefusedError, UnavailableError, as_os_errors


@contextmanager
def google_storage(status: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A server that answers all requests with a status; the paths that are requested of it."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b'{"error": {"message": "Anonymous caller does not have storage.objects.list access"}}')

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        options = {"endpoint_url": f"http://127.0.0.1:{server.server_address[1]}", "token": "anon"}
        monkeypatch.setitem(conf, "gs", options)
        GCSFileSystem.clear_instance_cache()
        try:
            yield requests
        finally:
            GCSFileSystem.clear_instance_cache()
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("status", [401, 403])
def test_refused_access_says_what_to_set(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        google_storage(status, monkeypatch),
        pytest.raises(AccessRefusedError, match=r"gs://bucket/d: .*GOOGLE_APPLICATION_CREDENTIALS.*anon"),
    ):
        Folder.of("gs://bucket/d").names()


def test_a_request_that_fails_is_sent_once_where_there_is_no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """gcsfs, which would repeat it five times, does not."""
    with google_storage(503, monkeypatch) as requests:
        with pytest.raises(UnavailableError, match="503"):
            Folder("gs://bucket/d", patience_seconds=0).names()
        assert len(requests) == 1


def test_missing_credentials_say_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    from google.auth.exceptions import DefaultCredentialsError

    with (
        pytest.raises(AccessRefusedError, match=r"gs://bucket/d: no credentials .*GOOGLE_APPLICATION_CREDENTIALS"),
        as_os_errors("gs://bucket/d"),
    ):
        raise DefaultCredentialsError("Your default credentials were not found.")
