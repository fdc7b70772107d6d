"""Every Python, sh and console block of README.md and docs/*.md runs against the demo, or a marker states why not.

Blocks run in the order of a document, in a folder that looks like a clone of the repository and can be written to. The
Python of a document is one program, so that a later block can use names of an earlier one and continue its
statement. Ports 3000, 5002 and 5003 are those of the running demo.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from memicos_testing.demo_program import Demo, environment
from memicos_testing.documents import DOCUMENTS, ROOT, Block, blocks_of, code_spans, console_steps, python_program
from memicos_testing.llm_provider import LlmProvider, Reply
from memicos_testing.models.small_model import small_model, small_sae
from memicos_testing.models.tiny_generate import tiny_config
from memicos_testing.stated_output import json_differences, text_differences
from memicos_webapp.database.embedded import temporary

pytestmark = pytest.mark.slow

SECONDS = 300
"""Longest run of one block, on a busy machine."""

BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document) if not block.reasons]
SHELL_BLOCKS = [block for block in BLOCKS if block.language in ("sh", "console")]
PROGRAMS = {
    document: [block for block in BLOCKS if block.document == document and block.language == "python"]
    for document in DOCUMENTS
}
REQUESTS = [
    (document, line, span) for document in DOCUMENTS for line, span in code_spans(document) if span.startswith("curl ")
]

CURL = """#!/bin/sh
# curl succeeds on an error response; documents are to show requests that succeed
exec {curl} --fail-with-body --no-progress-meter "$@"
"""

GENERATE = """
out = "my/dataset"
work = ".data/generate"
release = {{ id = "mine", name = "Mine", description = "An SAE.", creator = "me" }}
model = {{ id = "glass", name = "Glass", folder = "my/model", dtype = "float32", chat = false, license = "MIT" }}
source_set = {{ id = "res", name = "Res", description = "One.", folder = "my/saes", sources = ["1-res"] }}

[corpus]
id = "tiny"
description = "A text."
file = "my/corpus.jsonl"
context_size = 32
collections = [
    {{ name = "{collection}", contexts = 24, license = "CC0-1.0", url = "https://example.org", attribution = "a" }},
]
"""


SAEDASHBOARD = {
    "model_id": "glass",
    "layer": 1,
    "sae_set": "res",
    "features": [
        {
            "feature_index": 3,
            "frac_nonzero": 0.5,
            "n_prompts_total": 4,
            "n_tokens_in_prompt": 5,
            "activations": [
                {"bin_min": -1, "bin_max": 2, "bin_contains": -1, "tokens": ["a", "b"], "values": [0, 2.0]}
            ],
        }
    ],
}
"""A batch of SAEDashboard's output."""


@dataclass(frozen=True)
class Workspace:
    """A folder with a clone's files, and this test's replacements for the documents' addresses and folders."""

    folder: Path
    variables: dict[str, str]
    replacements: dict[str, str]

    def adapt(self, text: str) -> str:
        for original, replacement in self.replacements.items():
            text = re.sub(original, replacement, text)
        return text

    def run(self, *command: str) -> str:
        """The command's output; a status other than 0 fails the test."""
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            printed, errors = process.communicate(timeout=SECONDS)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        assert process.returncode == 0, f"status {process.returncode}\n{printed[-3000:]}\n{errors[-3000:]}"
        return printed

    def shell(self, script: str) -> str:
        """The script's output; a failing command, also in a pipe, fails the test."""
        return self.run("bash", "-euo", "pipefail", "-c", self.adapt(script))


@pytest.fixture(scope="module")
def own_database() -> Iterator[str]:
    """An empty PostgreSQL, for the documents' database of the reader."""
    with temporary() as url:
        yield url


@pytest.fixture(scope="module")
def workspace(
    demo: Demo, provider: LlmProvider, own_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workspace]:
    folder = tmp_path_factory.mktemp("clone")
    for path in ROOT.iterdir():
        if path.name.startswith(".env"):
            shutil.copy(path, folder)
        elif path.name not in (".data", ".git"):
            (folder / path.name).symlink_to(path)
    (folder / ".data").mkdir()
    (folder / ".data" / "models").symlink_to(ROOT / ".data" / "models")
    shutil.copytree(ROOT / "demo" / "sources" / "15-res-4k", folder / "data" / "mine")
    (folder / "my").mkdir()
    small_model(folder / "my" / "model")
    small_sae(folder / "my" / "saes" / "1-res", 1, 48, seed=1)
    collection = tiny_config(folder / "my", ["1-res"], 32, 24).corpus.collections[0].name
    (folder / "my.toml").write_text(GENERATE.format(collection=collection))
    (folder / "my" / "saedashboard").mkdir()
    (folder / "my" / "saedashboard" / "batch-0.json").write_text(json.dumps(SAEDASHBOARD))
    (folder / "shims").mkdir()
    curl = shutil.which("curl")
    assert curl, "documents use curl: install it"
    (folder / "shims" / "curl").write_text(CURL.format(curl=curl))
    (folder / "shims" / "curl").chmod(0o755)
    paths = [str(folder / "shims"), str(Path(sys.executable).parent), os.environ["PATH"]]
    variables = environment(demo.data, PATH=os.pathsep.join(paths), HF_HUB_OFFLINE="1", UV_FIND_LINKS="")
    # commands find the demo's server here; a reader's demo has the default port
    variables["INFERENCE_URL"] = demo.inference
    addresses = {3000: demo.webapp, 5002: demo.inference, 5003: demo.autointerp}
    replacements = {
        rf"(?:localhost|127\.0\.0\.1):{port}\b": url.removeprefix("http://") for port, url in addresses.items()
    }
    replacements[r"postgresql://memicos:the-password@127\.0\.0\.1:5432/memicos"] = f"'{own_database}'"
    provider.default = Reply(content="EXPLANATION: ships and whales")
    yield Workspace(folder, variables, {**replacements, r"(?<![\w.])/data/mine\b": str(folder / "data" / "mine")})
    provider.reset()


def stated_differences(stated: Block | None, printed: str) -> list[str]:
    if stated is None:
        return []
    return (json_differences if stated.language == "json" else text_differences)(stated.text, printed)


@pytest.mark.parametrize("block", SHELL_BLOCKS, ids=lambda block: block.location)
def test_shell_block_runs(block: Block, workspace: Workspace) -> None:
    if block.language == "sh":
        printed = workspace.shell(block.text)
        assert stated_differences(block.output, printed) == [], printed[:3000]
        return
    for command, stated in console_steps(block):
        printed = workspace.shell(command)
        assert text_differences(workspace.adapt(stated), printed) == [], printed[:3000]


@pytest.mark.parametrize(
    "document", [document for document, blocks in PROGRAMS.items() if blocks], ids=lambda document: document.name
)
def test_python_of_a_document_runs(document: Path, workspace: Workspace) -> None:
    program = workspace.folder / f"{document.stem}.py"
    program.write_text(workspace.adapt(python_program(PROGRAMS[document])))
    printed = workspace.run(sys.executable, str(program))
    for block in PROGRAMS[document]:
        # the program prints the blocks' outputs one after another
        stated = block.output
        assert stated is None or text_differences(f"…\n{stated.text}…\n", printed) == [], printed[:3000]


@pytest.mark.parametrize(("document", "line", "request_"), REQUESTS)
def test_request_in_the_text_is_answered(document: Path, line: int, request_: str, workspace: Workspace) -> None:
    assert workspace.shell(request_), f"{document.name}:{line}"
