"""`python -m memicos_inference`: one-line errors at start-up, env files, the documented settings."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from memicos_inference.settings import Settings, read
from memicos_testing.servers import free_port
from pydantic import ValidationError

ROOT = Path(__file__).parents[4]
COMMAND = [sys.executable, "-m", "memicos_inference"]
ALIASES = {
    name: [str(alias) for alias in getattr(field.validation_alias, "choices", [field.validation_alias])]
    for name, field in Settings.model_fields.items()
}
"""The variables that set each field, the documented one first."""
NAMES = {alias for names in ALIASES.values() for alias in names}
CLEAN = {name: value for name, value in os.environ.items() if name not in NAMES}


def start(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *arguments],
        env=CLEAN | environment,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def last_words(process: subprocess.Popen[str]) -> str:
    _, error_output = process.communicate(timeout=60)
    assert process.returncode == 1
    (line,) = error_output.splitlines()
    return line


def first_health(process: subprocess.Popen[str], url: str) -> dict[str, object]:
    for _ in range(400):
        try:
            return httpx.get(f"{url}/health").json()
        except httpx.ConnectError:
            assert process.poll() is None
            time.sleep(0.02)
    raise AssertionError("the server did not come up")


def test_health_responds_before_torch_is_imported_and_sigterm_ends_the_server(tmp_path: Path) -> None:
    port = free_port()
    env_file = tmp_path / "some.env"
    env_file.write_text(f"# a comment\nMODEL_ID=some\nCUSTOM_HF_MODEL_ID={tmp_path}/none\nINFERENCE_PORT=1\nSECRET=\n")
    started = time.monotonic()
    process = start("--env-file", str(env_file), INFERENCE_PORT=str(port))
    try:
        health = first_health(process, f"http://127.0.0.1:{port}")
        assert health["state"] == "loading" and health["progress"] in ("starting", "importing torch")
        # generous: other tests may use the processors
        assert time.monotonic() - started < 10
    finally:
        process.send_signal(signal.SIGINT)
        out, log = process.communicate(timeout=20)
    assert process.returncode == 0 and not out
    assert f"INFO memicos_inference: http://127.0.0.1:{port}" in log and "Traceback" not in log


def test_the_log_can_be_json(tmp_path: Path) -> None:
    port = free_port()
    process = start(
        MODEL_ID="some",
        CUSTOM_HF_MODEL_ID=str(tmp_path / "none"),
        INFERENCE_PORT=str(port),
        INFERENCE_LOG_FORMAT="json",
    )
    try:
        url = f"http://127.0.0.1:{port}"
        first_health(process, url)
        httpx.post(f"{url}/v1/tokenize", json={}, headers={"X-Request-ID": "mine"})
    finally:
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=20)
    lines = [json.loads(line) for line in log.splitlines()]
    assert all(line.keys() >= {"timestamp", "level", "logger", "event"} for line in lines)
    assert lines[0]["event"] == f"http://127.0.0.1:{port}"
    (request,) = [line for line in lines if line["logger"] == "memicos_inference.requests"]
    assert request["request_id"] == "mine" and request["status"] in (422, 503)


def test_small_responses_are_not_delayed(tmp_path: Path) -> None:
    """A server with Nagle's algorithm takes 40 ms per small response."""
    port = free_port()
    process = start(MODEL_ID="some", CUSTOM_HF_MODEL_ID=str(tmp_path / "none"), INFERENCE_PORT=str(port))
    try:
        first_health(process, f"http://127.0.0.1:{port}")
        times = []
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
            for _ in range(20):
                started = time.perf_counter()
                http.get("/health")
                times.append(time.perf_counter() - started)
        assert min(times) < 0.03
    finally:
        process.kill()
        process.communicate(timeout=20)


def test_torch_is_not_imported_with_the_routes() -> None:
    """/health needs these modules before it responds; transformers is imported with torch."""
    code = "import sys, memicos_inference.serve; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_error_at_start_is_one_line(tmp_path: Path) -> None:
    broken, foreign = tmp_path / "broken.env", tmp_path / "foreign.env"
    broken.write_text("MODEL_ID=some\nTOKEN_LIMIT 100\n")
    foreign.write_bytes(b"MODEL_ID=\xff\xfe\n")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        processes = [
            start(MODEL_ID="some", INFERENCE_PORT=str(port)),
            start(MODEL_ID="some", INFERENCE_PORT=str(free_port()), INFERENCE_HOST="192.0.2.1"),
            start("--env-file", str(tmp_path / "none.env")),
            start("--env-file", str(tmp_path / ".env.inference.none"), cwd=ROOT),
            start("--env-file", ".env.inference.none", cwd=ROOT),
            start("--env-file", str(broken)),
            start("--env-file", str(foreign)),
            start(INFERENCE_PORT=str(free_port())),
            start(MODEL_ID="some", SAE_SETS="res-jb"),
            start(MODEL_ID="some", INCLUDE_SAE='["("]'),
            start(MODEL_ID="some", DEVICE="gpu"),
            start(MODEL_ID="some", INFERENCE_PORT="70000"),
        ]
        held, address, none, none_known, listed, malformed, encoding, no_model, sets, pattern, device, number = map(
            last_words, processes
        )
    assert f"cannot listen on 127.0.0.1:{port}: it is held by process {os.getpid()} (" in held
    assert "INFERENCE_PORT" in held
    assert "cannot listen on 192.0.2.1:" in address
    assert "there is no env file" in none and "Known" not in none
    assert "there is no env file" in none_known and "Known" not in none_known
    assert "gpt2-small.res-jb, smollm2-135m-it.res-4k" in listed
    assert "line 2 of" in malformed and "is not NAME=value" in malformed
    assert "foreign.env cannot be read: it is not UTF-8" in encoding
    assert "MODEL_ID is not set" in no_model
    assert 'SAE_SETS: should be a JSON list of strings, for example ["res-jb"]' in sets
    assert "INCLUDE_SAE: '(' is not a regular expression" in pattern
    assert "DEVICE: " in device
    assert "INFERENCE_PORT: Input should be less than or equal to 65535" in number


def test_listening_beyond_loopback_without_a_secret_causes_a_warning(tmp_path: Path) -> None:
    for secret, expected in (("", True), ("open sesame", False)):
        port = free_port()
        process = start(
            MODEL_ID="some",
            CUSTOM_HF_MODEL_ID=str(tmp_path / "none"),
            INFERENCE_HOST="0.0.0.0",
            INFERENCE_PORT=str(port),
            INFERENCE_SECRET=secret,
        )
        try:
            first_health(process, f"http://127.0.0.1:{port}")
        finally:
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=20)
        assert ("every client that can connect to 0.0.0.0 is served" in log) is expected


def test_configs_are_listed_and_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    files = sorted(ROOT.glob(".env.inference.*"))
    assert len(files) >= 4
    listed, _ = start("--list-configs", cwd=ROOT).communicate(timeout=60)
    lines = listed.splitlines()
    assert [line.split()[0] for line in lines] == [file.name.removeprefix(".env.inference.") for file in files]
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for file in files:
        settings = read(file)
        assert settings.model_id and settings.sae_sets
        # every line is a setting that exists
        names = {line.partition("=")[0] for line in file.read_text().splitlines() if line and not line.startswith("#")}
        assert names <= NAMES


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKEN_LIMIT", "0"),
        ("TOKEN_LIMIT", "many"),
        ("MAX_LOADED_SAES", "0"),
        ("MODEL_DTYPE", "int8"),
        ("SAE_DTYPE", "auto"),
        ("SAE_SETS", '["a", 1]'),
        ("SAE_SETS", '{"a": 1}'),
        ("SAE_SETS", "[" * 100_000),
        ("DEVICE", "cuda:x"),
        ("INFERENCE_PORT", "0"),
        ("INFERENCE_MAX_ROWS", "-1"),
        ("INFERENCE_BODY_BYTES", "0"),
        ("INFERENCE_LOG_FORMAT", "xml"),
        ("INFERENCE_KV_BYTES", "1e9x"),
    ],
)
def test_bad_settings_are_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as error:
        read()
    assert error.value.errors()[0]["loc"][0] == name


def test_the_environment_overrides_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "some.env"
    file.write_text('TOKEN_LIMIT=7\nMODEL_DTYPE=bf16\nSAE_SETS=\'["a", "b"]\'\nSECRET=from file\n')
    monkeypatch.setenv("TOKEN_LIMIT", "9")
    monkeypatch.setenv("MODEL_DTYPE", "")
    settings = read(file)
    assert settings.token_limit == 9 and settings.model_dtype == "bfloat16" and settings.sae_sets == ("a", "b")
    assert settings.secret and settings.secret.get_secret_value() == "from file"
    assert "from file" not in repr(settings)
