"""The TypeScript client: generated from the documents, compiled, and used against running servers."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import contracts
import pytest
import typescript_client
from memicos_autointerp.app import create_app
from memicos_autointerp.settings import Settings
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_testing.llm_provider import SERVER_KEY, LlmProvider
from memicos_testing.servers import in_thread

PACKAGE = typescript_client.PACKAGE
PROGRAM = """
import { createAutointerpClient, createInferenceClient, readEvents } from "%(package)s";
const [autointerpUrl, inferenceUrl] = process.argv.slice(2);
const autointerp = createAutointerpClient({ baseUrl: autointerpUrl, secret: "sesame" });
const stranger = createAutointerpClient({ baseUrl: autointerpUrl });
const inference = createInferenceClient({ baseUrl: inferenceUrl });
const body = { activations: [{ tokens: ["The", " whale"], values: [0, 8] }] };
const explained = await autointerp.POST("/v1/explain/default", { body });
const refused = await stranger.POST("/v1/explain/default", { body });
const steered = await inference.POST("/v1/steer/completion", {
  body: {
    model: "small", prompt: "Once", n_completion_tokens: 4, types: ["STEERED"], stream: true, stream_deltas: true,
    n_logprobs: 0,
    features: [{ model: "small", source: "1-res", index: 5, strength: 20.5 }],
  },
  parseAs: "stream",
});
const events = [];
for await (const event of readEvents(steered.data)) events.push(event);
console.log(JSON.stringify({ explained: explained.data, refused: [refused.response.status, refused.error], events }));
"""
MISUSE = """
import { createInferenceClient } from "%(package)s/src/index.js";
const client = createInferenceClient({ baseUrl: "http://127.0.0.1:5002" });
const { data } = await client.POST("/v1/tokenize", { body: { model: "small", text: %(value)s } });
export const tokens: number[] | undefined = data?.tokens;
"""


@pytest.fixture(scope="module")
def typescript_package() -> Path:
    """The package with its dependencies from npm."""
    typescript_client.install()
    return PACKAGE


@pytest.fixture(scope="module")
def autointerp_url() -> Iterator[str]:
    values: dict[str, Any] = {"api_key": SERVER_KEY, "model": "own-model", "retries": 0, "secret": "sesame"}
    with (
        LlmProvider() as provider,
        in_thread(create_app(Settings(base_url=provider.base_url, **values))) as url,
    ):
        yield url


def test_the_committed_types_are_those_of_the_documents(typescript_package: Path) -> None:
    assert contracts.check_typescript(contracts.SERVICES) == []


def test_a_changed_document_is_drift(typescript_package: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (service,) = [service for service in contracts.SERVICES if service.name == "autointerp"]
    stale = tmp_path / "autointerp.ts"
    stale.write_text(typescript_client.file_of("autointerp").read_text().replace("explanation: string", "x: string"))
    monkeypatch.setattr(typescript_client, "file_of", lambda _: stale)
    lines = contracts.check_typescript([service])
    assert any("explanation: string" in line for line in lines) and lines[-1] == "update it with `make clients`"


def test_the_compiled_client_calls_running_servers(
    typescript_package: Path, autointerp_url: str, tmp_path: Path
) -> None:
    typescript_client.compile_package(typescript_package / "dist")
    program = tmp_path / "program.mjs"
    program.write_text(PROGRAM % {"package": typescript_package / "dist/index.js"})
    with in_thread(FakeInferenceServer().app()) as inference_url:
        result = subprocess.run(
            ["node", program, autointerp_url, inference_url], capture_output=True, text=True, check=False, timeout=60
        )
    assert result.returncode == 0, result.stderr
    responses = json.loads(result.stdout)
    assert responses["explained"]["explanation"] == "the sea"
    status, error = responses["refused"]
    assert status == 401 and error["cause"] == "wrong_secret"
    names = [event["name"] for event in responses["events"]]
    assert names[0] == "delta" and names[-1] == "message" and len(names) > 2


@pytest.mark.parametrize(("value", "compiles"), [('"a text"', True), ("7", False)])
def test_the_compiler_refuses_a_body_that_the_document_does_not_have(
    typescript_package: Path, tmp_path: Path, value: str, compiles: bool
) -> None:
    program = tmp_path / "program.mts"
    program.write_text(MISUSE % {"package": typescript_package, "value": value})
    options = ["--noEmit", "--strict", "--skipLibCheck", "--target", "ES2022", "--lib", "ES2022,DOM,DOM.Iterable"]
    command = [typescript_package / "node_modules/.bin/tsc", *options, "--module", "NodeNext", program]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=typescript_package)
    assert (result.returncode == 0) == compiles, result.stdout
    assert compiles or "'number' is not assignable to type" in result.stdout


def test_without_node_a_message_is_printed_and_nothing_changes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    typescript_client.install.cache_clear()
    before = {path: path.read_text() for path in (PACKAGE / "src").glob("*.ts")}
    contracts.write_typescript(contracts.SERVICES)
    assert "TYPESCRIPT WAS NOT WRITTEN" in capsys.readouterr().out
    assert contracts.check_typescript(contracts.SERVICES) == []
    assert "TYPESCRIPT WAS NOT CHECKED: Node is not installed" in capsys.readouterr().out
    assert {path: path.read_text() for path in (PACKAGE / "src").glob("*.ts")} == before
