"""`memicos explain --batch`: batches are paid once, found again after a kill, and their failures listed."""

import logging
import os
import re
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
from memicos_testing.llm_provider import SERVER_KEY, LlmProvider, Received, Reply, explain_marks
from memicos_testing.webapp.small_dataset import write_dataset
from typer.testing import CliRunner, Result

LIVE = 60
"""Live features of the small dataset's source."""
SAMPLE = 20
COST = (321 * 2 + 12 * 10) / 1e6
"""Of an answer of the test's provider, outside of batches."""


@pytest.fixture
def llm() -> Iterator[LlmProvider]:
    with LlmProvider() as server:
        server.answer = explain_marks
        yield server


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(batches, "FIRST_WAIT_SECONDS", 0.01)
    yield
    # the command sets it for its process
    logging.getLogger("memicos_autointerp_core").setLevel(logging.NOTSET)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written") / "data"
    write_dataset(folder, layers=(1,))
    return folder


@pytest.fixture
def dataset(written: Path, tmp_path: Path) -> Path:
    shutil.copytree(written, tmp_path / "data")
    return tmp_path / "data"


def environment(llm: LlmProvider, folder: Path, **settings: Any) -> dict[str, str]:
    file = folder / "profiles.toml"
    profile = settings.pop("profile", "batch = true")
    file.write_text(
        f'[local]\nbase_url = "{llm.base_url}"\nkey_variable = "LOCAL_KEY"\nmodels = ["m"]\n{profile}\n'
        "prices = { m = { input = 2, output = 10 } }\n"
    )
    values = {"PROFILES_FILE": str(file), "BATCH_POLL_SECONDS": "0.1", "MAX_TOKENS": "100", **settings}
    return {**os.environ, "LOCAL_KEY": SERVER_KEY, **{f"AUTOINTERP_{name}": value for name, value in values.items()}}


def run(llm: LlmProvider, dataset: Path, *options: str, **settings: Any) -> Result:
    arguments = ["explain", str(dataset), "--profile", "local", *options]
    return CliRunner().invoke(main.app, arguments, env=environment(llm, dataset.parent, **settings))


def explained(dataset: Path) -> dict[int, str]:
    manifest = read.read_manifest(dataset)
    read.verify(dataset, manifest)
    (source,) = manifest.source_set.sources
    rows = [row for batch in read.explanations(dataset, source) for row in batch.to_pylist()]
    return {row["index"]: row["description"] for row in rows if row["method"] == "eleuther_acts_top20"}


def submitted(llm: LlmProvider) -> list[str]:
    """`custom_id` of every request of every batch."""
    return [line["custom_id"] for batch in llm.batches.batches.values() for line in batch.lines]


def test_a_batch_gives_the_results_of_single_requests_at_its_price(llm: LlmProvider, dataset: Path) -> None:
    single = dataset.with_name("single")
    shutil.copytree(dataset, single)
    assert run(llm, single, "--yes").exit_code == 0
    prompts = [request.body for request in llm.requests]
    llm.requests.clear()
    result = run(llm, dataset, "--batch", "--yes")
    assert result.exit_code == 0, result.stderr
    assert explained(dataset) == explained(single) and len(explained(dataset)) == LIVE
    assert len(llm.requests) == SAMPLE and len(set(submitted(llm))) == len(submitted(llm)) == LIVE - SAMPLE
    # the same bodies as single requests, with the key of the profile
    bodies = [line["body"] for batch in llm.batches.batches.values() for line in batch.lines]
    assert all(body in prompts for body in bodies) and llm.batches.keys == {f"Bearer {SERVER_KEY}"}
    assert SERVER_KEY not in result.stdout + result.stderr
    estimate = (LIVE - SAMPLE) * COST / 2
    assert f"40 features, 321 + 12 tokens each (measured on 20): about ${estimate:,.2f}" in result.stdout
    assert f"{LIVE} of {LIVE} features; ${SAMPLE * COST + estimate:,.4f} paid" in result.stdout
    assert "batch batch-0: completed, 40 of 40 answered" in result.stdout
    # nothing is left to do, or on disk
    assert run(llm, dataset, "--batch", "--yes").exit_code == 0
    assert len(llm.batches.batches) == 1 and not list(dataset.parent.glob("data.explain/*.jsonl"))


@pytest.mark.slow
def test_a_large_run_has_several_batches_one_after_the_other(llm: LlmProvider, dataset: Path) -> None:
    result = run(llm, dataset, "--batch", "--yes", BATCH_REQUESTS="15")
    assert result.exit_code == 0, result.stderr
    assert [len(batch.lines) for batch in llm.batches.batches.values()] == [15, 15, 10]
    assert len(explained(dataset)) == LIVE and len(set(submitted(llm))) == 40


@pytest.mark.slow
def test_a_budget_bounds_what_batches_can_cost(llm: LlmProvider, dataset: Path) -> None:
    for _ in range(2):
        result = run(llm, dataset, "--batch", "--budget", "0.025")
        assert result.exit_code == 1 and "stopped: The budget of $0.03 is reached" in result.stderr
        # the sample at the full price, the others at the half
        paid = SAMPLE * COST + len(submitted(llm)) * COST / 2
        assert 0.015 < paid <= 0.025 and len(submitted(llm)) == len(explained(dataset)) - SAMPLE > 5
    result = run(llm, dataset, "--batch", "--budget", "5")
    assert result.exit_code == 0 and len(explained(dataset)) == LIVE
    assert len(llm.requests) + len(submitted(llm)) == LIVE == len(llm.requests) + len(set(submitted(llm)))


def test_failures_of_requests_are_listed_with_their_reasons_and_tried_again(llm: LlmProvider, dataset: Path) -> None:
    bad = {"refused": Reply(fields={"message": {"content": None, "refusal": "no"}}), "status": Reply(status=429)}
    kept: dict[str, Reply] = {}

    def answer(received: Received) -> Reply:
        prompt = received.body["messages"][-1]["content"]
        if not received.headers and len(kept) < len(bad) and prompt not in kept:
            kept[prompt] = list(bad.values())[len(kept)]
        return kept.get(prompt) or explain_marks(received)

    llm.answer, llm.batches.forget = answer, {5}
    result = run(llm, dataset, "--batch", "--yes")
    assert result.exit_code == 1 and "Traceback" not in result.stderr, result.stderr
    causes = re.findall(r"^failed: 1-res/\d+: (\w+): .", result.stderr, re.MULTILINE)
    assert (
        sorted(causes) == ["filtered", "malformed", "rate_limited"] and "has no answer to this request" in result.stderr
    )
    assert len(explained(dataset)) == LIVE - 3
    llm.answer, llm.batches.forget = explain_marks, set()
    result = run(llm, dataset, "--batch", "--yes", "--retry-failed")
    assert result.exit_code == 0 and len(explained(dataset)) == LIVE, result.stderr


@pytest.mark.slow
def test_what_a_batch_does_not_answer_in_time_is_listed_and_asked_again(llm: LlmProvider, dataset: Path) -> None:
    llm.batches.expire_after = 30
    result = run(llm, dataset, "--batch", "--yes")
    assert result.exit_code == 1 and len(explained(dataset)) == SAMPLE + 30
    causes = re.findall(r"^failed: 1-res/\d+: timeout: .* expired before this request", result.stderr, re.MULTILINE)
    assert len(causes) == 10
    llm.batches.expire_after = None
    result = run(llm, dataset, "--batch", "--yes")
    assert result.exit_code == 0 and len(explained(dataset)) == LIVE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"refuse": f"the key {SERVER_KEY} is over its limit"},
            "rejected: 127.0.0.1:.* refused the batch batch-0: line 1",
        ),
        ({"fail_next": {"POST files": [401]}}, "unauthorized: "),
        ({"fail_next": {"POST batches": [404]}}, "cannot make a batch .status 404"),
        ({"fail_next": {"GET batches": [404]}}, "cannot read a batch .status 404"),
        ({"answer_next": {"POST files": [b"[" * 200_000 + b"]" * 200_000]}}, "answer to upload a file is not one"),
        ({"answer_next": {"POST files": [b'{"id": "\\ud800"}']}}, "answer to upload a file is not one"),
        ({"answer_next": {"POST batches": [b'{"id": 7}']}}, "answer to make a batch is not one"),
        ({"answer_next": {"GET batches": [b"[1]"]}}, "answer to read a batch is not one"),
        ({"answer_next": {"GET batches": [b'{"id": "a", "status": "\\ud800"}']}}, "answer to read a batch is not one"),
        (
            {"answer_next": {"GET batches": [b'{"id": "a", "status": "ended", "request_counts": 5}']}},
            "answer to read a batch is not one",
        ),
        ({"answer_next": {"GET batches": [b'{"a":' * 200_000 + b"1" + b"}" * 200_000]}}, "answer to read a batch"),
    ],
)
def test_what_ends_a_run_is_named(llm: LlmProvider, dataset: Path, change: dict[str, Any], message: str) -> None:
    for name, value in change.items():
        setattr(llm.batches, name, value)
    result = run(llm, dataset, "--batch", "--yes")
    assert result.exit_code == 1 and re.search(f"stopped: .*{message}", result.stderr), result.stderr
    assert SERVER_KEY not in result.stdout + result.stderr and len(explained(dataset)) == SAMPLE
    llm.batches.refuse = None
    result = run(llm, dataset, "--batch", "--yes")
    assert result.exit_code == 0 and len(explained(dataset)) == LIVE, result.stderr
    # the cost is not measured again at the full price
    assert len(llm.requests) == SAMPLE
    assert "40 features, 321 + 12 tokens each (measured on 20)" in result.stdout or "interrupted run" in result.stdout


def test_the_record_of_a_lost_batch_is_deleted_on_demand(llm: LlmProvider, dataset: Path) -> None:
    llm.batches.fail_next = {"GET batches": [404]}
    assert run(llm, dataset, "--batch", "--yes").exit_code == 1
    llm.batches.batches.clear()
    result = run(llm, dataset, "--batch", "--yes")
    assert result.exit_code == 1 and "--cancel-batch deletes the record of the batch" in result.stderr
    said = run(llm, dataset, "--cancel-batch").stdout
    assert "no longer has this batch; its record was deleted, its answers are lost" in said
    result = run(llm, dataset, "--batch", "--yes")
    assert result.exit_code == 0 and len(explained(dataset)) == LIVE, result.stderr


@pytest.mark.parametrize(("seconds", "ends"), [("60", False), ("0", True)])
def test_a_provider_that_cannot_be_reached_for_a_time_is_asked_again(
    llm: LlmProvider, dataset: Path, monkeypatch: pytest.MonkeyPatch, seconds: str, ends: bool
) -> None:
    monkeypatch.setattr("memicos_autointerp_core.providers.settings.BULK_RETRIES", 0)
    llm.batches.fail_next = {"GET batches": [503, 429]}
    result = run(llm, dataset, "--batch", "--yes", BATCH_UNREACHABLE_SECONDS=seconds, RETRIES="0")
    assert (result.exit_code, len(explained(dataset))) == ((1, SAMPLE) if ends else (0, LIVE)), result.stderr
    assert "status 503" in (result.stderr if ends else result.stdout)
    # the id is known from the answer to the submission
    assert ends or re.search("batch batch-0: .*status 503", result.stdout), result.stdout


def test_a_batch_that_is_found_by_its_name_is_named_by_its_id(
    llm: LlmProvider, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memicos_autointerp_core.providers.settings.BULK_RETRIES", 0)
    llm.batches.lose_next = ["POST batches"]
    assert run(llm, dataset, "--batch", "--yes", RETRIES="0").exit_code == 1
    # the list has it still
    llm.batches.held, llm.batches.fail_next = True, {"POST batches/cancel": [404]}
    result = run(llm, dataset, "--cancel-batch", RETRIES="0")
    assert "batch batch-0: 127.0.0.1" in result.stdout, result.stdout


def test_a_request_that_is_too_large_for_a_batch_is_named(llm: LlmProvider, dataset: Path) -> None:
    result = run(llm, dataset, "--batch", "--yes", BATCH_FILE_BYTES="1000")
    assert result.exit_code == 1 and "stopped: A request has " in result.stderr
    assert "AUTOINTERP_BATCH_FILE_BYTES" in result.stderr and not llm.batches.batches


@pytest.mark.slow
def test_transient_faults_are_waited_for(llm: LlmProvider, dataset: Path) -> None:
    llm.batches.fail_next = {
        "POST files": [500, 429],
        "POST batches": [503],
        "GET batches": [500],
        "GET files/content": [502],
    }
    assert run(llm, dataset, "--batch", "--yes").exit_code == 0
    assert len(explained(dataset)) == LIVE and len(llm.batches.batches) == 1 and not any(llm.batches.fail_next.values())


@pytest.mark.parametrize("retries", ["0", "5"])
def test_a_batch_whose_confirmation_was_lost_is_found_by_its_name(
    llm: LlmProvider, dataset: Path, retries: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the run, or by the next one, where the run ended before it knew."""
    llm.batches.lose_next = ["POST batches"]
    if retries == "0":
        # bulk_options raise it
        monkeypatch.setattr("memicos_autointerp_core.providers.settings.BULK_RETRIES", 0)
    result = run(llm, dataset, "--batch", "--yes", RETRIES=retries)
    if retries == "0":
        assert result.exit_code == 1 and "stopped: unreachable" in result.stderr
        # others could be paid twice now
        result = run(llm, dataset, "--yes")
        assert result.exit_code == 1 and "go on with --batch" in result.stderr
        result = run(llm, dataset, "--batch", "--yes")
        assert "batch batch-0: of an interrupted run" in result.stdout
    assert result.exit_code == 0, result.stderr
    assert len(llm.batches.batches) == 1 and len(explained(dataset)) == LIVE
    assert len(llm.requests) + len(submitted(llm)) == LIVE


def test_a_profile_without_batches_sends_none(llm: LlmProvider, dataset: Path) -> None:
    result = run(llm, dataset, "--batch", "--yes", profile="")
    assert result.exit_code == 1 and "batch = true" in result.stderr and not llm.requests
    result = run(llm, dataset, "--cancel-batch")
    assert result.exit_code == 1 and "no batch is in progress" in result.stderr and not llm.requests
    assert run(llm, dataset, "--batch", "--cancel-batch").exit_code == 2


def start_and_kill(llm: LlmProvider, dataset: Path) -> None:
    """Start a run, and kill it once its batch is in progress."""
    llm.batches.held = True
    program = [sys.executable, "-c", "from memicos_cli.main import app; app()", "explain", str(dataset)]
    with subprocess.Popen(
        [*program, "--profile", "local", "--batch", "--yes"],
        env=environment(llm, dataset.parent),
        stdout=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    ) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if any(batch.status == "in_progress" for batch in llm.batches.batches.values()):
                break
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    llm.batches.held = False


@pytest.mark.slow
def test_a_killed_run_finds_its_batch_and_pays_nothing_twice(llm: LlmProvider, dataset: Path) -> None:
    start_and_kill(llm, dataset)
    assert explained(dataset) == {}
    result = run(llm, dataset, "--batch", "--yes")
    assert result.exit_code == 0 and "of an interrupted run" in result.stdout
    # nothing is left to pay
    assert "measured on" not in result.stdout
    assert len(explained(dataset)) == LIVE and len(llm.batches.batches) == 1
    assert len(llm.requests) == SAMPLE and len(submitted(llm)) == LIVE - SAMPLE


@pytest.mark.slow
def test_a_cancelled_batch_keeps_what_is_answered(llm: LlmProvider, dataset: Path) -> None:
    start_and_kill(llm, dataset)
    (batch,) = llm.batches.batches.values()
    llm.batches.answers_per_read = 10
    result = run(llm, dataset, "--cancel-batch")
    assert result.exit_code == 1 and "the batches are cancelled" in result.stderr and batch.status == "cancelled"
    assert len(explained(dataset)) == SAMPLE and len(batch.output) == 10
    # the answers of the batch are used, and paid once
    result = run(llm, dataset, "--yes")
    assert result.exit_code == 0 and "10 stored answers used" in result.stdout, result.stdout
    assert len(explained(dataset)) == LIVE == len(llm.requests) + 10
