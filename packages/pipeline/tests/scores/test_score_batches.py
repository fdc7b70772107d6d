"""`memicos score --method … --batch`: its price, a run that is killed, and one whose batches are cancelled."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from memicos_autointerp_core.providers import batches
from memicos_cli import main
from memicos_dataset import read
from memicos_pipeline.config import GenerateConfig
from memicos_pipeline.generate import generate
from memicos_testing.llm_provider import SERVER_KEY, LlmProvider
from memicos_testing.models.small_model import small_model, small_sae
from memicos_testing.models.tiny_generate import tiny_config
from memicos_testing.word_list_model import WordListModel
from typer.testing import CliRunner, Result

SCORE = ("--method", "eleuther_recall", "--every-explanation", "--profile", "local", "--active", "6", "--inactive", "6",
         "--around", "3", "--pool-contexts", "24")  # fmt: skip
SAMPLE = 20
COST = (321 * 2 + 12 * 10) / 1e6
"""Of an answer of the test's provider, outside of batches."""
FACTOR = 0.4
"""Price of a request in a batch."""
KILL_SECONDS = 300
"""Longest wait for the command's batch."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("score-batches")
    small_model(folder / "model")
    small_sae(folder / "saes" / "1-res", 1, 40, seed=1)
    config = tiny_config(folder, ["1-res"], 32, 24)
    generate(config, lambda line: None)
    (folder / "generate.toml").write_text(toml(config))
    return folder


def toml(config: GenerateConfig) -> str:
    """The configuration as it is in the file, which names folders relative to its own."""

    def value(found: Any) -> str:
        if isinstance(found, dict):
            return "{ " + ", ".join(f"{key} = {value(own)}" for key, own in found.items()) + " }"
        return f"[{', '.join(map(value, found))}]" if isinstance(found, list) else json.dumps(found)

    body = config.model_dump(mode="json", exclude_none=True, exclude_unset=True)
    return "\n".join(f"{key} = {value(own)}" for key, own in body.items())


@pytest.fixture
def llm() -> Iterator[LlmProvider]:
    with LlmProvider() as server:
        server.answer = WordListModel()
        yield server


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(batches, "FIRST_WAIT_SECONDS", 0.01)
    yield
    # the command sets it for its process
    logging.getLogger("memicos_autointerp_core").setLevel(logging.NOTSET)


@pytest.fixture
def config(written: Path, tmp_path: Path, llm: LlmProvider) -> Path:
    """The file of a configuration whose dataset is a copy, with the profiles beside it."""
    for name in ("out", "work"):
        shutil.copytree(written / name, tmp_path / name)
    text = (written / "generate.toml").read_text()
    for name in ("out", "work"):
        text = text.replace(json.dumps(str(written / name)), json.dumps(str(tmp_path / name)))
    (tmp_path / "profiles.toml").write_text(
        f'[local]\nbase_url = "{llm.base_url}"\nkey_variable = "LOCAL_KEY"\nmodels = ["m"]\nbatch = true\n'
        f"batch_price_factor = {FACTOR}\nprices = {{ m = {{ input = 2, output = 10 }} }}\n"
    )
    (tmp_path / "generate.toml").write_text(text)
    return tmp_path / "generate.toml"


def environment(config: Path) -> dict[str, str]:
    profiles = str(config.with_name("profiles.toml"))
    return {
        **os.environ, "LOCAL_KEY": SERVER_KEY, "AUTOINTERP_PROFILES_FILE": profiles,
        "AUTOINTERP_BATCH_POLL_SECONDS": "0.1", "AUTOINTERP_MAX_TOKENS": "100",
    }  # fmt: skip


def run(config: Path, *options: str) -> Result:
    return CliRunner().invoke(main.app, ["score", str(config), *SCORE, *options], env=environment(config))


def start_and_kill(llm: LlmProvider, config: Path) -> None:
    """Start the command, and kill it once its batch is in progress."""
    llm.batches.held = True
    program = [sys.executable, "-c", "from memicos_cli.main import app; app()", "score", str(config), *SCORE]
    with subprocess.Popen(
        [*program, "--batch", "--yes"], env=environment(config), stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    ) as process:
        end = time.monotonic() + KILL_SECONDS
        while not any(batch.status == "in_progress" for batch in llm.batches.batches.values()):
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    llm.batches.held = False


def scores(config: Path) -> list[dict[str, Any]]:
    folder = config.with_name("out")
    manifest = read.read_manifest(folder)
    read.verify(folder, manifest)
    (source,) = manifest.source_set.sources
    found = [row for batch in read.score_batches(folder, source) for row in batch.rows.to_pylist()]
    return [row for row in found if row["method"] == "eleuther_recall"]


def submitted(llm: LlmProvider) -> list[str]:
    """`custom_id` of every request of every batch."""
    return [line["custom_id"] for batch in llm.batches.batches.values() for line in batch.lines]


def test_batches_have_their_price_in_estimate_and_budget(config: Path, llm: LlmProvider) -> None:
    result = run(config, "--batch", "--budget", "5")
    assert result.exit_code == 0, result.stderr
    found = scores(config)
    # one that is not of the sample has too few texts, and needs no request
    left = len(found) - SAMPLE - len([row for row in found if row["reason"]])
    assert left > 0 and len(set(submitted(llm))) == len(submitted(llm)) > 0
    # what a label of the sample costs, times the others, at the price of batches
    each = len(llm.requests) * COST / SAMPLE
    assert f"{left} explanations, " in result.stdout and f"about ${FACTOR * left * each:,.2f}" in result.stdout
    paid = len(llm.requests) * COST + len(submitted(llm)) * COST * FACTOR
    assert f"{len(found)} of {len(found)} explanations; ${paid:,.4f} paid" in result.stdout, result.stdout
    assert SERVER_KEY not in result.stdout + result.stderr


def test_a_killed_run_goes_on_with_its_batch(config: Path, llm: LlmProvider) -> None:
    start_and_kill(llm, config)
    asked, sent = len(llm.requests), submitted(llm)
    assert asked and sent and not scores(config)
    # without batches its requests would be paid twice
    result = run(config, "--yes")
    assert result.exit_code == 1 and "go on with --batch" in result.stderr and len(llm.requests) == asked
    result = run(config, "--batch", "--yes")
    assert result.exit_code == 0 and "of an interrupted run" in result.stdout, result.stderr
    assert len(llm.batches.batches) == 1 and len(llm.requests) == asked and submitted(llm) == sent
    assert scores(config) and all(row["score"] is not None or row["reason"] for row in scores(config))


def test_a_cancelled_batch_keeps_what_is_answered(config: Path, llm: LlmProvider) -> None:
    start_and_kill(llm, config)
    (batch,) = llm.batches.batches.values()
    llm.batches.answers_per_read = 5
    asked = len(llm.requests)
    result = run(config, "--cancel-batch")
    assert result.exit_code == 1 and "the batches are cancelled" in result.stderr and batch.status == "cancelled"
    assert len(batch.output) == 5 and len(llm.requests) == asked
    # those of the sample; the others may have too few texts
    assert len([row for row in scores(config) if row["score"] is not None]) <= SAMPLE
    result = run(config, "--cancel-batch")
    assert result.exit_code == 1 and "no batch is in progress" in result.stderr
    result = run(config, "--yes")
    assert result.exit_code == 0, result.stderr
    # each request is asked once: in the sample, in the batch, or afterwards
    assert len(llm.requests) == asked + len(batch.lines) - 5
    paid = len(llm.requests) * COST + 5 * COST * FACTOR
    assert f"${paid:,.4f} paid" in result.stdout, result.stdout
