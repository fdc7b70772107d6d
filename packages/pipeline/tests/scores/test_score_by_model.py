"""`memicos score --method …`: scores of a dataset's labels by a language model's double; faults, resume, budget."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from memicos_autointerp_core.bulk.run import Outcome
from memicos_autointerp_core.bulk.state import FailedItem
from memicos_autointerp_core.providers import client
from memicos_autointerp_core.providers.settings import ProviderSettings
from memicos_autointerp_core.scorers.registry import LANGUAGE_MODEL_SCORERS
from memicos_dataset import read
from memicos_dataset.conversion.conversion_folder import Options
from memicos_dataset.conversion.inspect import faults
from memicos_dataset.folder import Folder
from memicos_pipeline.bulk.batches import BatchUse
from memicos_pipeline.bulk.language_model import ModelChoice
from memicos_pipeline.bulk.selection import Selection, explanations, labels
from memicos_pipeline.config import GenerateConfig
from memicos_pipeline.generate import generate
from memicos_pipeline.scores.protocol import ScoreProtocol
from memicos_pipeline.scores.score_by_model import ScoreRun, score_by_model
from memicos_pipeline.scores.score_dataset import score_dataset
from memicos_service import settings
from memicos_testing.llm_provider import SERVER_KEY, LlmProvider, Received, Reply
from memicos_testing.llm_provider.faults import SCORE_FAULTS, Fault, redirect
from memicos_testing.models.small_model import small_model, small_sae
from memicos_testing.models.tiny_generate import tiny_config
from memicos_testing.word_list_model import WordListModel

PROTOCOL = ScoreProtocol(active=6, inactive=6, around=3, pool_contexts=24)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> GenerateConfig:
    folder = tmp_path_factory.mktemp("score-by-model")
    small_model(folder / "model")
    small_sae(folder / "saes" / "1-res", 1, 24, seed=1)
    made = tiny_config(folder, ["1-res"], 32, 24)
    generate(made, lambda line: None)
    return made


@pytest.fixture
def llm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LlmProvider]:
    monkeypatch.setattr(client, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setenv("AUTOINTERP_TIMEOUT_SECONDS", "1")
    monkeypatch.setenv("LOCAL_KEY", SERVER_KEY)
    with LlmProvider() as server:
        server.answer = WordListModel()
        file = tmp_path / "profiles.toml"
        file.write_text(
            f'[local]\nbase_url = "{server.base_url}"\nkey_variable = "LOCAL_KEY"\nmodels = ["m"]\n'
            "prices = { m = { input = 2, output = 10 } }\nlimits = { concurrency = 4 }\n"
        )
        monkeypatch.setenv("AUTOINTERP_PROFILES_FILE", str(file))
        yield server


def run_of(config: GenerateConfig, tmp_path: Path, method: str, **fields: Any) -> ScoreRun:
    values: dict[str, Any] = {"choice": ModelChoice("local"), "work": tmp_path / "state", "yes": True, **fields}
    return ScoreRun(config, LANGUAGE_MODEL_SCORERS[method], PROTOCOL, values.pop("selection", Selection()), **values)


def score(run: ScoreRun) -> tuple[Outcome, list[FailedItem]]:
    return asyncio.run(score_by_model(run, settings.read(ProviderSettings), lambda question: False, lambda line: None))


def rows(config: GenerateConfig, method: str) -> list[dict[str, Any]]:
    manifest = read.read_manifest(config.out)
    read.verify(config.out, manifest)
    (source,) = manifest.source_set.sources
    batches = read.score_batches(config.out, source)
    return [row for batch in batches for row in batch.rows.to_pylist() if row["method"] == method]


def values_of(config: GenerateConfig, row: dict[str, Any]) -> list[list[float]]:
    """The feature's values on the tokens of each text of a score, from the examples of the dataset."""
    (source,) = read.read_manifest(config.out).source_set.sources
    index = explanations(config.out, source)[row["explanation"]].index
    (feature,) = (
        own for batch in read.features(config.out, source) for own in batch.to_pylist() if own["index"] == index
    )
    places = zip(feature["example_contexts"], feature["example_positions"], strict=True)
    stored = [dict(zip(*pair, strict=True)) for pair in zip(feature["value_positions"], feature["values"], strict=True)]
    examples = dict(zip(places, stored, strict=True))
    found = []
    for context, position, distance in zip(
        row["text_contexts"], row["text_positions"], row["text_distances"], strict=True
    ):
        values = examples[context, position] if distance > 0 else {}
        shown = range(max(1, position - row["around"]), min(32, position + row["around"] + 1))
        found.append([values.get(place, 0.0) for place in shown])
    return found


def live_labels(config: GenerateConfig) -> set[int]:
    (source,) = read.read_manifest(config.out).source_set.sources
    return {row.number for row in labels(explanations(config.out, source)).values()}


@pytest.mark.parametrize("method", LANGUAGE_MODEL_SCORERS)
def test_labels_are_scored_and_paid_once(method: str, config: GenerateConfig, llm: LlmProvider, tmp_path: Path) -> None:
    outcome, failures = score(run_of(config, tmp_path, method))
    assert outcome.stopped is None and not failures
    found = rows(config, method)
    assert {row["explanation"] for row in found} == live_labels(config) and len(found) == outcome.done
    with_score = [row for row in found if row["score"] is not None]
    assert with_score and all(row["reason"] for row in found if row["score"] is None)
    # requests of labels with equal texts are paid once
    price = (321 * 2 + 12 * 10) / 1e6
    assert sum(row["cost"] for row in with_score) == pytest.approx(len(llm.requests) * price)
    assert all(row["cost"] is None and row["profile"] is None for row in found if row["score"] is None)
    for row in with_score:
        asked = LANGUAGE_MODEL_SCORERS[method].requests(len(row["text_answers"]))
        assert (row["prompt_tokens"], row["completion_tokens"]) == (321 * asked, 12 * asked)
        assert (row["template_version"], row["profile"]) == (1, "local")
        parameters = json.loads(row["parameters"])
        known = {"active": 6, "inactive": 6, "near_misses": 0, "pool_contexts": 24, "attempt": 0}
        assert {name: parameters[name] for name in known} == known
        assert row["model"] == "m" or row["model"].startswith("m-")
        assert row["score_low"] <= row["score"] <= row["score_high"]
        if method != "simulation":
            # balanced accuracy, from the answers that are stored
            truth = np.array(row["text_distances"]) > 0
            right = (np.array(row["text_answers"]) >= 0.5) == truth
            assert row["score"] == pytest.approx((right[truth].mean() + right[~truth].mean()) / 2, abs=1e-6)
        else:
            expected, actual = np.concatenate(row["text_expected"]), np.concatenate(values_of(config, row))
            correlation = np.corrcoef(expected, actual)[0, 1] if expected.std() and actual.std() else 0.0
            assert row["score"] == pytest.approx(correlation, abs=1e-5)
        if method == "eleuther_fuzz":
            assert all(row["text_marked"])
            strong = [
                [i for i, value in enumerate(values) if value > 0 and value >= 0.3 * max(values)]
                for values in values_of(config, row)
            ]
            pairs = zip(row["text_marked"], strong, row["text_distances"], strict=True)
            assert all(marked == own for marked, own, distance in pairs if distance > 0)
    assert list(faults(Folder.of(config.out), Options())) == []
    paid = len(llm.requests)
    # the state has all results, and a further run asks nothing
    again, _ = score(run_of(config, tmp_path, method))
    assert again.done == 0 and len(llm.requests) == paid
    assert rows(config, method) == found


def test_too_few_texts_are_found_before_anything_is_paid(
    config: GenerateConfig, llm: LlmProvider, tmp_path: Path
) -> None:
    run = run_of(config, tmp_path, "eleuther_recall", choice=ModelChoice("local", "m-few"))
    outcome, failures = score(replace(run, protocol=replace(PROTOCOL, active=4)))
    assert outcome.stopped is None and outcome.done and not failures
    found = [row for row in rows(config, "eleuther_recall") if row["model"] == "m-few"]
    assert len(found) == outcome.done and not llm.requests
    for row in found:
        assert row["score"] is None and "A score needs 5 texts of each class" in row["reason"]
        assert len(row["text_answers"]) == len(row["text_contexts"]) and not any(row["text_answers"])


QUICK = ("402", "500", "wrong length")
"""Faults that every run of the tests has; the others take minutes with a model on the CPU."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in [*SCORE_FAULTS, "redirect"]],
)
def test_a_fault_is_never_a_score(
    name: str, config: GenerateConfig, llm: LlmProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memicos_autointerp_core.providers.settings.BULK_RETRIES", 1)
    monkeypatch.setenv("AUTOINTERP_RETRIES", "1")
    with LlmProvider() as elsewhere:
        fault = redirect(elsewhere.base_url) if name == "redirect" else SCORE_FAULTS[name]
        for method in LANGUAGE_MODEL_SCORERS:
            check_fault(fault, method, f"m-{name.replace(' ', '-')}", config, llm, tmp_path / method)
        assert not elsewhere.requests
    assert {request.headers["authorization"] for request in llm.requests} == {f"Bearer {SERVER_KEY}"}


def check_fault(fault: Fault, method: str, asked: str, config: GenerateConfig, llm: LlmProvider, work: Path) -> None:
    """Every request about one label fails: it has no score and is listed, and the others have one."""
    model = WordListModel()
    bad: list[str] = []

    def answer(received: Received) -> Reply:
        description = received.body["messages"][1]["content"].partition("\n\n")[0]
        if not bad:
            bad.append(description)
        return fault.reply if description == bad[0] else model(received)

    llm.answer = answer
    choice = ModelChoice("local", asked)
    run = run_of(config, work, method, selection=Selection(indices=tuple(range(12))), choice=choice)
    outcome, failures = score(run)
    scored = {row["explanation"] for row in rows(config, method) if row["model"] == asked}
    assert len(scored) == outcome.done
    if fault.stops:
        assert outcome.stopped and outcome.stopped.startswith(f"{fault.cause}: ") and not failures
    else:
        assert outcome.stopped is None and len({failure.item for failure in failures}) >= 1
        assert all(failure.cause == fault.cause and failure.message for failure in failures)
        assert not scored & {int(failure.item.rpartition("/")[2]) for failure in failures}
    llm.answer = model
    again, failures = score(replace(run, retry_failed=not fault.stops))
    assert again.stopped is None and not failures
    after = [row for row in rows(config, method) if row["model"] == asked]
    assert len(after) == outcome.done + outcome.failed if not fault.stops else len(after) > outcome.done


def test_a_text_without_an_answer_has_its_cause(config: GenerateConfig, llm: LlmProvider, tmp_path: Path) -> None:
    model = WordListModel()
    asked: list[Received] = []

    def answer(received: Received) -> Reply:
        asked.append(received)
        return Reply(content="no list") if len(asked) == 1 else model(received)

    llm.answer = answer
    chosen = {"selection": Selection(indices=(1, 2)), "choice": ModelChoice("local", "m-one-fails")}
    protocol = replace(PROTOCOL, active=10, inactive=10)
    outcome, failures = score(replace(run_of(config, tmp_path, "eleuther_recall", **chosen), protocol=protocol))
    assert outcome.done == 2 and not failures
    found = [row for row in rows(config, "eleuther_recall") if row["model"] == "m-one-fails"]
    assert sum(row["text_failures"].count("unreadable") for row in found) == 5
    for row in found:
        pairs = zip(row["text_failures"], row["text_answers"], strict=True)
        assert all((failure == "") is (answer is not None) for failure, answer in pairs)
    assert list(faults(Folder.of(config.out), Options())) == []
    # scores without a language model stay beside them
    asyncio.run(score_dataset(config, PROTOCOL, 1, lambda line: None))
    assert [row for row in rows(config, "eleuther_recall") if row["model"] == "m-one-fails"] == found
    assert {row["explanation"] for row in rows(config, "eleuther_embedding")} >= live_labels(config)


def test_a_budget_ends_the_run(config: GenerateConfig, llm: LlmProvider, tmp_path: Path) -> None:
    run = run_of(config, tmp_path, "eleuther_fuzz", choice=ModelChoice("local", None, 0.03))
    outcome, _ = score(run)
    assert outcome.stopped and "The budget of $0.03 is reached" in outcome.stopped
    assert len(llm.requests) * (321 * 2 + 12 * 10) / 1e6 <= 0.03


def test_batches_give_the_scores_of_single_requests(
    config: GenerateConfig, llm: LlmProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profiles = tmp_path / "profiles.toml"
    profiles.write_text(profiles.read_text() + "batch = true\n")
    monkeypatch.setenv("AUTOINTERP_BATCH_POLL_SECONDS", "0.1")
    chosen = {"choice": ModelChoice("local", "m-batch"), "every_explanation": True}
    single = run_of(config, tmp_path / "single", "eleuther_fuzz", **chosen)
    assert score(single)[0].stopped is None

    def scored() -> list[dict[str, Any]]:
        found = [row for row in rows(config, "eleuther_fuzz") if row["model"] == "m-batch"]
        # of a batch half of it
        return [{name: value for name, value in row.items() if name != "cost"} for row in found]

    expected = scored()
    bodies = [request.body for request in llm.requests]
    llm.requests.clear()
    outcome, failures = score(run_of(config, tmp_path, "eleuther_fuzz", batches=BatchUse.SEND, **chosen))
    assert outcome.stopped is None and not failures and outcome.done == len(expected) > 20
    assert scored() == expected
    lines = [line for batch in llm.batches.batches.values() for line in batch.lines]
    assert lines and len({line["custom_id"] for line in lines}) == len(lines)
    # the same requests; some labels of the small dataset are asked about with the same texts
    sent = [line["body"] for line in lines] + [request.body for request in llm.requests]
    assert all(body in bodies for body in sent) and all(body in sent for body in bodies)
    # a run without batches goes on after one with them, and asks nothing again
    assert score(run_of(config, tmp_path, "eleuther_fuzz", **chosen))[0].done == 0
