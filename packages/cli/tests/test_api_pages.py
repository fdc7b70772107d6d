"""`make doc-*-localhost` at a server that has a secret."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from memicos_cli import api_pages


class Guarded(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(401)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged."""


def test_a_server_with_a_secret_is_named_as_such(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Guarded) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("INFERENCE_PORT", str(server.server_port))
        assert api_pages.main(["inference"]) == 1
        server.shutdown()
    shown = capsys.readouterr().err
    assert "needs the secret of the server" in shown and "Start it without a secret: make inference-" in shown
