"""scripts/audit.py with pip-audit itself, against a server with OSV's API."""

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
VULNERABILITY = {
    "id": "PYSEC-2020-1",
    "summary": "a hole",
    "aliases": ["CVE-2020-1"],
    "modified": "2020-01-01T00:00:00Z",
    "published": "2020-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"name": "holey", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0"}]}],
        }
    ],
}


class Osv(BaseHTTPRequestHandler):
    """Knows a vulnerability of the package holey."""

    def do_GET(self) -> None:
        self._send(VULNERABILITY)

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self._send({"vulns": [VULNERABILITY]} if query["package"]["name"] == "holey" else {})

    def _send(self, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


@pytest.fixture
def audit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import audit  # pyright: ignore[reportMissingImports]

    with HTTPServer(("127.0.0.1", 0), Osv) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(audit, "OSV", f"http://127.0.0.1:{server.server_port}/v1")
        monkeypatch.setattr(audit, "PYPI", "http://127.0.0.1:1/pypi")
        yield audit
        server.shutdown()
    sys.modules.pop("audit")


@pytest.mark.slow
def test_a_vulnerability_fails_the_audit(audit: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("holey==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\nsound==1.0\n")
    monkeypatch.setattr(audit, "LOCK", lock)
    with pytest.raises(SystemExit, match=r"^holey 1.0: PYSEC-2020-1, fixed in 2.0$"):
        audit.main()
    monkeypatch.setitem(audit.ACCEPTED, "CVE-2020-1", "the hole is in a part that is not used")
    audit.main()


def test_without_data_the_audit_is_skipped_with_the_reason(
    audit: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audit, "OSV", "http://127.0.0.1:1/v1")
    audit.main()
    output = capsys.readouterr().out
    assert output.startswith("audit skipped") and "pypi: " in output and "osv: " in output


def test_a_package_without_data_is_no_sound_one(audit: Any) -> None:
    report = {"dependencies": [{"name": "own", "skip_reason": "Dependency not found"}, {"name": "a", "vulns": []}]}
    assert audit.problems(report) == ["own: Dependency not found"]
