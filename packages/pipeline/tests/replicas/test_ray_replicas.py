"""`memicos explain --executor ray` and `score` with real actors and servers: spread, loss, faults, and their end.

The servers are `memicos_testing.llm_provider.vllm_stand_in`, with the command line of `vllm serve`.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from memicos_autointerp_core.providers.settings import ProviderSettings
from memicos_autointerp_core.scorers.registry import LANGUAGE_MODEL_SCORERS
from memicos_dataset import read
from memicos_pipeline.bulk.language_model import ModelChoice
from memicos_pipeline.bulk.selection import Selection
from memicos_pipeline.generate import generate
from memicos_pipeline.replicas.plan import replica_plan
from memicos_pipeline.scores.protocol import ScoreProtocol
from memicos_pipeline.scores.score_by_model import ScoreRun, score_by_model
from memicos_testing.generate import ray_runs
from memicos_testing.llm_provider import SERVER_KEY, LlmProvider, vllm_stand_in
from memicos_testing.llm_provider.vllm_stand_in import Behaviour, write_behaviour
from memicos_testing.models.small_model import small_model, small_sae
from memicos_testing.models.tiny_generate import tiny_config
from memicos_testing.processes import processes_below
from memicos_testing.webapp.small_dataset import write_dataset

LIVE = 60
"""Live features of the small dataset's source."""
COMMAND = f"{sys.executable} -m {vllm_stand_in.__name__}"
SECONDS = 300
pytestmark = pytest.mark.slow

Explained = dict[tuple[str, int], str]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "data", layers=(1,))
    return tmp_path / "data"


@pytest.fixture
def model(tmp_path: Path) -> Iterator[Path]:
    """The folder of the model that is served. No server of it is left after the test."""
    folder = tmp_path / "stand-in"
    write_behaviour(folder, Behaviour(delay=0.02))
    yield folder
    end = time.monotonic() + 20
    while (left := vllm_stand_in.running(folder)) and time.monotonic() < end:
        time.sleep(0.05)
    assert left == []


def environment(**variables: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "AUTOINTERP_"))}
    return {**clean, "AUTOINTERP_VLLM_COMMAND": COMMAND, "AUTOINTERP_VLLM_CONCURRENCY": "4", **variables}


def command(dataset: Path, model: Path, *options: str) -> list[str]:
    return [
        sys.executable, "-c", "from memicos_cli.main import app; app()", "explain", str(dataset), "--executor", "ray",
        "--vllm-model", str(model), "--model", "m", "--vllm-gpus", "0", "--replicas", "2", "--yes", *options,
    ]  # fmt: skip


@contextmanager
def running(dataset: Path, model: Path, *options: str, **variables: str) -> Iterator["subprocess.Popen[str]"]:
    """The command in a process group of its own, as a terminal starts it."""
    with subprocess.Popen(
        command(dataset, model, *options),
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


def wait_for_requests(process: "subprocess.Popen[str]", model: Path, count: int) -> None:
    end = time.monotonic() + SECONDS
    while sum(map(len, vllm_stand_in.requests(model).values())) < count:
        assert time.monotonic() < end
        if process.poll() is not None:
            pytest.fail("\n".join(process.communicate()))
        time.sleep(0.02)


def explained(dataset: Path) -> Explained:
    manifest = read.read_manifest(dataset)
    read.verify(dataset, manifest)
    (source,) = manifest.source_set.sources
    rows = [row for batch in read.explanations(dataset, source) for row in batch.to_pylist()]
    return {(row["model"], row["index"]): row["description"] for row in rows if row["method"] != "token-statistics"}


def prompts(model: Path) -> Counter[str]:
    sent = [body for bodies in vllm_stand_in.requests(model).values() for body in bodies]
    return Counter(body["messages"][-1]["content"] for body in sent)


def plain_run(dataset: Path, folder: Path) -> Explained:
    """The explanations by an endpoint that runs already."""
    other = folder / "plain"
    shutil.copytree(dataset, other)
    profiles = folder / "profiles.toml"
    with LlmProvider() as llm:
        llm.answer = vllm_stand_in.answer
        profiles.write_text(f'[local]\nbase_url = "{llm.base_url}"\nkey_variable = "LOCAL_KEY"\nmodels = ["m"]\n')
        variables = environment(AUTOINTERP_PROFILES_FILE=str(profiles), LOCAL_KEY=SERVER_KEY)
        arguments = [*command(other, folder)[:5], "--profile", "local", "--yes"]
        subprocess.run(arguments, env=variables, check=True, capture_output=True)
    return explained(other)


def test_two_replicas_share_the_requests_and_give_the_results_of_a_plain_run(
    dataset: Path, model: Path, tmp_path: Path
) -> None:
    with running(dataset, model) as process:
        status, out, err = finish(process)
    assert status == 0, err
    assert f"{LIVE} explanations added" in out and "about $0.00" in out
    for number in (1, 2):
        assert f"replica {number} of 2 is running after" in out
    assert explained(dataset) == plain_run(dataset.with_name("data"), tmp_path) and len(explained(dataset)) == LIVE
    shares = [len(bodies) for bodies in vllm_stand_in.requests(model).values()]
    assert len(shares) == 2 and min(shares) >= LIVE // 4 and sum(shares) == LIVE
    # all are explained: no replica is started
    with running(dataset, model) as process:
        status, out, err = finish(process)
    assert status == 0 and "0 features to explain" in out and "is running" not in out


def kill_a_server(process: "subprocess.Popen[str]", model: Path) -> None:
    vllm_stand_in.running(model)[0].kill()


def kill_an_actor(process: "subprocess.Popen[str]", model: Path) -> None:
    actors(process)[0].kill()


def actors(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    return processes_below(psutil.Process(process.pid), "ray::ReplicaActor")


@pytest.mark.parametrize("kill", [kill_a_server, kill_an_actor])
def test_a_lost_replica_is_started_again_and_its_requests_are_repeated(
    dataset: Path, model: Path, tmp_path: Path, kill: Callable[[Any, Path], None]
) -> None:
    # slow enough that the third server has work left when it is healthy
    write_behaviour(model, Behaviour(delay=3))
    with running(dataset, model) as process:
        wait_for_requests(process, model, 10)
        kill(process, model)
        status, out, err = finish(process)
    assert status == 0, err
    assert "is started again: " in out
    assert explained(dataset) == plain_run_of(tmp_path, dataset)
    # three servers have answered, and at most the requests in flight to the lost one were sent twice
    assert len(vllm_stand_in.requests(model)) == 3
    sent = prompts(model)
    assert len(sent) == LIVE and max(sent.values()) <= 2 and sent.total() <= LIVE + 4


def plain_run_of(folder: Path, dataset: Path) -> Explained:
    """`plain_run` of the dataset as it was before."""
    write_dataset(folder / "before", layers=(1,))
    return plain_run(folder / "before", folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_end_of_a_run_leaves_no_process_and_the_next_one_goes_on(
    dataset: Path, model: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """After SIGKILL, two of Ray's own agents end minutes later; actors and servers end at once."""
    # slow enough that the run is not complete when the signal reaches it
    write_behaviour(model, Behaviour(delay=2.0))
    with running(dataset, model) as process:
        wait_for_requests(process, model, 20)
        below = actors(process) if number is signal.SIGKILL else psutil.Process(process.pid).children(recursive=True)
        if number is signal.SIGINT:  # of the terminal, to the whole group
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        process.communicate(timeout=SECONDS)
        _, alive = psutil.wait_procs(below, timeout=20)
        assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []
    assert explained(dataset) == {}
    write_behaviour(model, Behaviour())
    with running(dataset, model) as process:
        status, _, err = finish(process)
    assert status == 0, err
    assert explained(dataset) == plain_run_of(tmp_path, dataset)
    # the requests in flight at the end are sent again, and no other one
    assert prompts(model).total() <= LIVE + 8


def test_a_server_that_does_not_start_ends_the_run_with_its_last_lines(dataset: Path, model: Path) -> None:
    write_behaviour(model, Behaviour(fails=True))
    with running(dataset, model) as process:
        status, _, err = finish(process)
    assert status == 1 and "Traceback (most" not in err.partition("its last lines")[0]
    assert "stopped: replica " in err and "ended while it started with status 1; its last lines:" in err
    assert "ValueError: No available memory for the cache blocks." in err
    assert explained(dataset) == {}


@pytest.mark.parametrize(
    ("options", "variables", "message"),
    [
        ((), {"AUTOINTERP_VLLM_COMMAND": "no-vllm serve"}, "no-vllm is not installed on"),
        (("--vllm-gpus", "64"), {}, "the cluster has room for 0 of 2 replicas: each needs 64 GPUs of one machine"),
        ((), {"AUTOINTERP_VLLM_START_SECONDS": "1"}, "did not answer within 1 s (AUTOINTERP_VLLM_START_SECONDS)"),
    ],
)
def test_what_cannot_be_started_is_named(
    dataset: Path, model: Path, options: tuple[str, ...], variables: dict[str, str], message: str
) -> None:
    write_behaviour(model, Behaviour(loading=30))
    with running(dataset, model, *options, **variables) as process:
        status, _, err = finish(process)
    assert status == 1 and message in err and "Traceback" not in err, err
    assert explained(dataset) == {}


def test_scores_are_those_of_a_plain_run(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    small_model(tmp_path / "model")
    small_sae(tmp_path / "saes" / "1-res", 1, 24, seed=1)
    config = tiny_config(tmp_path, ["1-res"], 32, 24)
    generate(config, lambda line: None)
    protocol = ScoreProtocol(active=6, inactive=6, around=3, pool_contexts=24)
    method = LANGUAGE_MODEL_SCORERS["eleuther_recall"]

    def score(choice: ModelChoice, settings: ProviderSettings, work: str) -> list[dict[str, Any]]:
        run = ScoreRun(config, method, protocol, Selection(), choice, tmp_path / work, yes=True)
        outcome, failures = asyncio.run(score_by_model(run, settings, lambda question: False, lambda line: None))
        assert outcome.stopped is None and outcome.done and not failures
        manifest = read.read_manifest(config.out)
        (source,) = manifest.source_set.sources
        rows = [row for batch in read.score_batches(config.out, source) for row in batch.rows.to_pylist()]
        # the two servers count tokens differently
        of_provider = dict.fromkeys(("profile", "prompt_tokens", "completion_tokens", "cost"))
        return [row | of_provider for row in rows if row["method"] == method.name]

    with LlmProvider() as llm:
        llm.answer = vllm_stand_in.answer
        settings = ProviderSettings.model_validate({"base_url": llm.base_url, "api_key": "none", "model": "m"})
        plain = score(ModelChoice(), settings, "plain")
    settings = ProviderSettings.model_validate({"vllm_command": COMMAND})
    replicas = replica_plan(settings, 2, str(model), "m", 0, ())
    assert score(ModelChoice(replicas=replicas), settings, "replicas") == plain
    assert len(vllm_stand_in.requests(model)) == 2
    psutil.wait_procs(ray_runs.processes_of_ray(), timeout=20)
    assert ray_runs.processes_of_ray() == []
