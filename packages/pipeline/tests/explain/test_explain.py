"""`memicos explain` on a dataset folder: selection, results, failures, budget, kills."""

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from memicos_autointerp_core.providers import client
from memicos_cli import main
from memicos_dataset import read
from memicos_dataset.conversion.conversion_folder import Options
from memicos_dataset.conversion.inspect import faults
from memicos_dataset.folder import Folder
from memicos_dataset.schema import REQUEST_COLUMNS
from memicos_pipeline.bulk.selection import StoredExplanation, labels, read_indices
from memicos_pipeline.config import ConfigError
from memicos_pipeline.explain.evidence import Corpus
from memicos_testing.llm_provider import SERVER_KEY, LlmProvider, Received, Reply, explain_marks
from memicos_testing.llm_provider.faults import EXPLANATION_FAULTS, Fault, redirect
from memicos_testing.webapp.small_dataset import write_dataset
from typer.testing import CliRunner, Result

LIVE = 60
"""Live features of a source of the small dataset, which has 64."""
METHOD, OTHER_METHOD = "eleuther_acts_top20", "np_acts-logits-general"


@pytest.fixture
def llm() -> Iterator[LlmProvider]:
    with LlmProvider() as server:
        server.answer = explain_marks
        yield server


@pytest.fixture(autouse=True)
def log_level() -> Iterator[None]:
    """The command sets it for its process."""
    yield
    logging.getLogger("memicos_autointerp_core").setLevel(logging.NOTSET)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written") / "data"
    write_dataset(folder, layers=(1, 2))
    return folder


@pytest.fixture
def dataset(written: Path, tmp_path: Path) -> Path:
    shutil.copytree(written, tmp_path / "data")
    return tmp_path / "data"


def environment(llm: LlmProvider, tmp_path: Path, **profile: Any) -> dict[str, str]:
    file = tmp_path / "profiles.toml"
    limits = profile.pop("limits", "concurrency = 4")
    file.write_text(
        f'[local]\nbase_url = "{llm.base_url}"\nkey_variable = "LOCAL_KEY"\nmodels = ["m"]\n'
        f"prices = {{ m = {{ input = 2, output = 10 }} }}\nlimits = {{ {limits} }}\n"
    )
    return {**os.environ, "AUTOINTERP_PROFILES_FILE": str(file), "LOCAL_KEY": SERVER_KEY}


def command(dataset: Path, *options: str) -> list[str]:
    return [
        sys.executable, "-c", "from memicos_cli.main import app; app()", "explain", str(dataset), "--profile", "local",
        *options,
    ]  # fmt: skip


def run(llm: LlmProvider, dataset: Path, *options: str) -> Result:
    arguments = ["explain", str(dataset), "--profile", "local", *options]
    return CliRunner().invoke(main.app, arguments, env=environment(llm, dataset.parent))


def explained(dataset: Path, method: str = METHOD) -> dict[tuple[str, int], str]:
    manifest = read.read_manifest(dataset)
    read.verify(dataset, manifest)
    found = {}
    for source in manifest.source_set.sources:
        for batch in read.explanations(dataset, source):
            for row in batch.to_pylist():
                if row["method"] == method:
                    assert row["model"] == ("m" if method != "token-statistics" else None)
                    found[source.id, row["index"]] = row["description"]
    return found


def test_every_live_feature_is_explained_once(llm: LlmProvider, dataset: Path) -> None:
    before = explained(dataset, "token-statistics")
    result = run(llm, dataset, "--yes")
    assert result.exit_code == 0, result.stderr
    assert f"{2 * LIVE} explanations added" in result.stdout
    assert "100 features, 321 + 12 tokens each (measured on 20): about $0.08" in result.stdout
    found = explained(dataset)
    assert len(found) == len(llm.requests) == 2 * LIVE
    assert explained(dataset, "token-statistics") == before
    # the answer is of this feature's texts: feature 0 fires on the first word of the vocabulary
    assert found["1-res", 0] == found["2-res", 0] == "the word Call"
    assert all(request.headers["authorization"] == f"Bearer {SERVER_KEY}" for request in llm.requests)
    assert SERVER_KEY not in result.stdout + result.stderr

    source = read.read_manifest(dataset).source_set.sources[0]
    for row in (row for batch in read.explanations(dataset, source) for row in batch.to_pylist()):
        request = [row[name] for name in REQUEST_COLUMNS if name != "parameters"]
        if row["method"] == METHOD:
            assert request == [1, "local", 321, 12, pytest.approx((321 * 2 + 12 * 10) / 1e6)]
            assert json.loads(row["parameters"]).keys() >= {"texts", "negatives", "max_tokens", "temperature"}
        else:
            assert request == [None] * 5 and row["parameters"] is None
    assert list(faults(Folder.of(dataset), Options())) == []

    again = run(llm, dataset, "--yes")
    assert again.exit_code == 0 and "0 features to explain" in again.stdout
    assert len(llm.requests) == 2 * LIVE


def test_a_selection(llm: LlmProvider, dataset: Path) -> None:
    result = run(llm, dataset, "--budget", "1", "--source", "2-res", "--indices", "3,5-7,15")
    assert result.exit_code == 0, result.stderr
    # feature 15 never fires
    assert set(explained(dataset)) == {("2-res", index) for index in (3, 5, 6, 7)}
    result = run(
        llm, dataset, "--budget", "1", "--source", "2-res", "--unexplained", "--method", "np_acts-logits-general"
    )
    assert result.exit_code == 0 and not {3, 5, 6, 7} & {index for _, index in explained(dataset, OTHER_METHOD)}
    # in the small dataset the label of feature i has the score (i mod 11) / 10
    result = run(llm, dataset, "--budget", "1", "--source", "1-res", "--score-below", "0.15")
    low = {index for source, index in explained(dataset) if source == "1-res"}
    assert low and all(index % 11 <= 1 for index in low)
    for options in (["--source", "9-res"], ["--indices", "64"], ["--indices", "x"], ["--profile", "none"]):
        wrong = run(llm, dataset, "--yes", *options)
        assert wrong.exit_code == 1 and wrong.stderr.startswith("error: ") and "Traceback" not in wrong.stderr


def test_nobody_can_be_asked(llm: LlmProvider, dataset: Path) -> None:
    result = run(llm, dataset)
    assert result.exit_code == 1 and "--budget or --yes" in result.stderr and not llm.requests


def test_a_budget_ends_the_run_and_is_kept(llm: LlmProvider, dataset: Path) -> None:
    cost = (321 * 2 + 12 * 10) / 1e6
    for _ in range(2):  # the second run has no more to spend
        result = run(llm, dataset, "--budget", "0.07")
        assert result.exit_code == 1 and "stopped: The budget of $0.07 is reached" in result.stderr
        assert 0.03 <= len(llm.requests) * cost <= 0.07
        assert len(explained(dataset)) == len(llm.requests)
    paid = len(llm.requests)
    result = run(llm, dataset, "--budget", "5")
    assert result.exit_code == 0 and len(explained(dataset)) == len(llm.requests) == 2 * LIVE > paid


@pytest.mark.parametrize("name", [*EXPLANATION_FAULTS, "redirect"])
def test_a_fault_is_never_an_explanation(
    name: str, llm: LlmProvider, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LlmProvider() as elsewhere:
        fault = redirect(elsewhere.base_url) if name == "redirect" else EXPLANATION_FAULTS[name]
        check_fault(fault, llm, dataset, monkeypatch)
        assert not elsewhere.requests
    assert {request.headers["authorization"] for request in llm.requests} == {f"Bearer {SERVER_KEY}"}


def check_fault(fault: Fault, llm: LlmProvider, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reply, cause, stops = fault.reply, fault.cause, fault.stops
    monkeypatch.setenv("AUTOINTERP_TIMEOUT_SECONDS", "0.5")
    # further attempts of one feature are scripted faults too: by the text of its request
    bad: list[str] = []

    def answer(received: Received) -> Reply:
        prompt = received.body["messages"][-1]["content"]
        if len(bad) < 2 and prompt not in bad:
            bad.append(prompt)
        return reply if prompt in bad else explain_marks(received)

    llm.answer = answer
    monkeypatch.setattr(client, "FIRST_WAIT_SECONDS", 0.01)
    result = run(llm, dataset, "--yes", "--source", "1-res", "--indices", "0-11")
    assert result.exit_code == 1 and "Traceback" not in result.stderr, result.stderr
    found = explained(dataset)
    assert all(text.startswith("the word ") for text in found.values())
    if stops:
        assert f"stopped: {cause}: " in result.stderr and len(found) < 12
    else:
        assert len(found) == 10
        assert len(re.findall(rf"^failed: 1-res/\d+: {cause}: .", result.stderr, re.MULTILINE)) == 2, result.stderr
    # the failed ones alone, now that the provider answers
    llm.answer = explain_marks
    sent = len(llm.requests)
    options = [] if stops else ["--retry-failed"]
    result = run(llm, dataset, "--yes", "--source", "1-res", "--indices", "0-11", *options)
    assert result.exit_code == 0, result.stderr
    assert len(llm.requests) - sent == 12 - len(found) and len(explained(dataset)) == 12


@pytest.mark.slow
def test_a_run_that_is_killed_pays_nothing_twice(llm: LlmProvider, dataset: Path) -> None:
    """SIGKILL at three moments. Requests that were in flight then are paid again: at most 4 for each kill."""
    undisturbed = dataset.with_name("other")
    shutil.copytree(dataset, undisturbed)
    assert run(llm, undisturbed, "--yes").exit_code == 0
    llm.requests.clear()
    llm.answer = lambda received: replace(explain_marks(received), delay=0.03)
    in_flight = 0
    for requests in (3, 24, 90):
        with subprocess.Popen(
            command(dataset, "--yes"),
            env=environment(llm, dataset.parent),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        ) as process:
            deadline = time.monotonic() + 60
            while len(llm.requests) < requests and time.monotonic() < deadline:
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            process.wait()
        in_flight += 4
    assert run(llm, dataset, "--yes").exit_code == 0
    assert explained(dataset) == explained(undisturbed)
    assert 2 * LIVE <= len(llm.requests) <= 2 * LIVE + in_flight
    prompts = [request.body["messages"][-1]["content"] for request in llm.requests]
    # both sources have the same texts for some features, whose answers are paid once; each prompt at most twice
    assert max(prompts.count(prompt) for prompt in prompts) <= 1 + 3


def test_labels_and_indices() -> None:
    rows = [
        StoredExplanation(0, 4, "human", "human", None),
        StoredExplanation(1, 4, "statistics", "token-statistics", None),
        StoredExplanation(2, 5, "statistics", "token-statistics", None),
        StoredExplanation(3, 5, "newer", "token-statistics", None),
    ]
    assert {index: row.number for index, row in labels(rows).items()} == {4: 0, 5: 3}
    assert read_indices("3, 7,10-12,7") == (3, 7, 10, 11, 12)
    for text in ("-3", "a", "3-", "3-x", "1-2-3", "0-99999999", "@/nowhere"):
        with pytest.raises(ConfigError):
            read_indices(text)


def test_contrastive_prompts_show_texts_of_similar_features(llm: LlmProvider, dataset: Path, tmp_path: Path) -> None:
    result = run(llm, dataset, "--source", "1-res", "--indices", "3,4", "--contrastive", "--yes")
    assert result.exit_code == 0 and len(llm.requests) == 2
    manifest = read.read_manifest(dataset)
    source = next(source for source in manifest.source_set.sources if source.id == "1-res")
    rows = {row["index"]: row for batch in read.features(dataset, source) for row in batch.to_pylist()}
    corpus = Corpus(dataset, manifest)
    for request in llm.requests:
        shown, _, silent = request.body["messages"][-1]["content"].partition("this feature is silent")
        lines = [line.partition(". ")[2] for line in silent.strip().splitlines()[1:]]
        assert "<<" in shown and 2 <= len(lines) <= 5
        possible = []
        for index in (3, 4):
            own = set(rows[index]["example_contexts"])
            examples = [
                context
                for neighbour in rows[index]["neighbour_indices"]
                for context, group in zip(
                    rows[neighbour]["example_contexts"], rows[neighbour]["example_groups"], strict=True
                )
                if group == 0 and context not in own
            ]
            possible.append(["".join(corpus.strings(context)) for context in examples])
        # each is cut from an example of a neighbour, outside of the feature's own contexts
        assert any(all(any(line in text for text in texts) for line in lines) for texts in possible)
