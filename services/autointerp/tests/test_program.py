"""`python -m memicos_autointerp`: the env file, and one line for what is wrong at start-up."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from memicos_autointerp.settings import read
from memicos_testing.servers import free_port
from pydantic import ValidationError

COMMAND = [sys.executable, "-m", "memicos_autointerp"]
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("AUTOINTERP_", "SECRET"))}


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*COMMAND, *arguments], env=CLEAN | environment, stderr=subprocess.PIPE, text=True)


def last_words(process: subprocess.Popen[str]) -> str:
    _, error_output = process.communicate(timeout=60)
    assert process.returncode == 1
    (line,) = error_output.splitlines()
    return line


def test_the_program_serves_the_env_file_and_ends_on_sigterm(tmp_path: Path) -> None:
    port = free_port()
    env_file = tmp_path / "autointerp.env"
    env_file.write_text(f"AUTOINTERP_PORT={port}\nAUTOINTERP_MODEL=from-file\nAUTOINTERP_TEMPERATURE=\nOTHER=1\n")
    process = start("--env-file", str(env_file))
    try:
        for _ in range(200):
            try:
                response = httpx.get(f"http://127.0.0.1:{port}/health")
                break
            except httpx.ConnectError:
                assert process.poll() is None
                time.sleep(0.05)
        else:
            raise AssertionError("the server did not come up")
        state = response.json()
        assert {name: state[name] for name in ("status", "model", "models", "has_key")} == {
            "status": "healthy",
            "model": "from-file",
            "models": ["from-file"],
            "has_key": False,
        }
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_an_error_at_start_is_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.env"
    broken.write_text("AUTOINTERP_MODEL=some\nAUTOINTERP_PORT 5003\n")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        processes = (
            start(AUTOINTERP_PORT=str(listener.getsockname()[1])),
            start("--env-file", str(tmp_path / "none.env")),
            start("--env-file", str(broken)),
            start(AUTOINTERP_BASE_URL="https://user:hidden@api.openai.com/v1"),
            start(AUTOINTERP_PROFILES_FILE=str(broken)),
        )
        port, env_file, malformed, base_url, profiles = map(last_words, processes)
    assert "cannot listen on 127.0.0.1" in port and "AUTOINTERP_PORT" in port
    assert "there is no env file" in env_file
    assert "line 2 of" in malformed and "is not NAME=value" in malformed
    assert "AUTOINTERP_BASE_URL: a base URL has no credentials" in base_url and "hidden" not in base_url
    assert "broken.env is not TOML" in profiles


def test_the_openai_library_is_not_imported_before_the_settings_are_checked() -> None:
    code = "import sys, memicos_autointerp.serve; sys.exit('openai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "many"),
        ("BASE_URL", "api.openai.com"),
        ("TIMEOUT_SECONDS", "0"),
        ("RETRIES", "-1"),
        ("MODEL", ""),
    ],
)
def test_bad_settings_are_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"AUTOINTERP_{name}", value)
    with pytest.raises(ValidationError):
        read()
