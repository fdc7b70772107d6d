"""`make openapi`, `make clients` and `make contracts`, in a copy of the repository over this .venv."""

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DOCUMENT = "schemas/openapi/autointerp-server.yaml"
CLIENT = "packages/clients/memicos-autointerp-client/src/memicos_autointerp_client/models/explain_response.py"
USED = ("Makefile", "requirements.lock", "scripts", "schemas", "packages", "services")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The tracked files that the commands use; times of changes are kept, so that nothing is installed again."""
    listed = subprocess.run(["git", "ls-files", *USED], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / name)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    return tmp_path


def make(checkout: Path, target: str) -> "subprocess.CompletedProcess[str]":
    command = ["make", "-s", target, "ONLY=autointerp"]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False, timeout=300)


def test_documents_and_clients_are_written_and_drift_is_found(checkout: Path) -> None:
    unchanged = {name: (ROOT / name).read_text() for name in (DOCUMENT, CLIENT)}
    document = checkout / DOCUMENT
    document.write_text(unchanged[DOCUMENT].replace("/v1/explain/default:", "/v1/explain/former:"))
    (checkout / CLIENT).unlink()
    drift = make(checkout, "contracts")
    assert drift.returncode != 0 and "autointerp-server.yaml" in drift.stdout + drift.stderr
    for target in ("openapi", "clients"):
        done = make(checkout, target)
        assert done.returncode == 0, done.stderr
    assert {name: (checkout / name).read_text() for name in unchanged} == unchanged
    done = make(checkout, "contracts")
    assert done.returncode == 0, done.stdout + done.stderr
