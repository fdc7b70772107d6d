"""Results of the self-test are stored and used by later starts, keyed by their dependencies."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from memicos_engine.selftest import checks, result_cache
from memicos_inference import model_loading
from memicos_inference.app import _load
from memicos_inference.http.errors import Unavailable
from memicos_inference.settings import Settings
from memicos_inference.status import service as status
from memicos_inference.status.published import PublishedCapabilities
from memicos_inference.verification.state import Verification
from memicos_testing.models.model_classes import CASES, write_model
from safetensors.torch import load_file, save_file

MakeSettings = Callable[..., Settings]
MODEL_CHECKS = ["embedding", "blocks", "unembedding", "batch", "cache", "weights"]


@pytest.fixture
def own(settings: MakeSettings, model_folder: Path, tmp_path: Path) -> Settings:
    """Settings for a copy of the model, with a separate folder of results."""
    shutil.copytree(model_folder, tmp_path / "model")
    return settings(
        custom_hf_model_id=str(tmp_path / "model"), selftest_results=tmp_path / "results", selftest_seconds=600
    )


def start(settings: Settings) -> Verification:
    """Run the self-test as a start of a server does, and store its results."""
    verification = Verification(settings)
    _load(settings, verification, PublishedCapabilities(verification), lambda text, fraction: None)
    if verification.storing:
        verification.storing.join(60)
    return verification


def remembered(verification: Verification) -> list[str]:
    """Names of the checks that an earlier start measured."""
    return [check.name for check in verification.checks if check.measured_at]


def results(settings: Settings) -> list[Path]:
    return [path for path in settings.selftest_results.glob("*.json") if path.name != result_cache.DIGESTS]


def counted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[Any]:
    """Arguments of the calls of a check."""
    calls: list[Any] = []
    check = getattr(checks, name)

    def count(*args: Any) -> Any:
        calls.append(args)
        return check(*args)

    monkeypatch.setattr(checks, name, count)
    return calls


def test_a_second_start_runs_the_cheap_part_only(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    first = start(own)
    assert first.state == "passed" and remembered(first) == []
    expensive = [counted(monkeypatch, f"check_{name}") for name in ("unembedding", "batch", "cache")]
    cheap = [counted(monkeypatch, f"check_{name}") for name in ("embedding", "blocks", "weights")]
    hashed = []
    monkeypatch.setattr(result_cache, "_file_digest", lambda path: hashed.append(path))
    second = start(own)
    assert second.state == "passed" and remembered(second) == MODEL_CHECKS
    assert expensive == [[], [], []] and hashed == []
    assert [[limits.blocks for _, limits in calls] for calls in cheap] == [[1], [1], [1]]
    assert [(check.name, check.measured, check.detail) for check in second.checks] == [
        (check.name, check.measured, check.detail) for check in first.checks
    ]
    # as /health has it
    checks = status.selftest(second).checks
    assert all(check.measured_at and check.measured_at.endswith("Z") for check in checks)
    assert all(check.measured_at is None for check in status.selftest(first).checks)


def test_changed_weights_are_tested_again(own: Settings) -> None:
    start(own)
    (file,) = (Path(str(own.custom_hf_model_id))).glob("*.safetensors")
    tensors = load_file(file)
    name = next(name for name in tensors if name.endswith("mlp.down_proj.weight"))
    save_file({**tensors, name: tensors[name] * 1.5}, file, metadata={"format": "pt"})
    assert remembered(start(own)) == []
    assert remembered(start(own)) == MODEL_CHECKS and len(results(own)) == 2


def test_a_touched_file_is_hashed_again(own: Settings) -> None:
    start(own)
    (file,) = (Path(str(own.custom_hf_model_id))).glob("*.safetensors")
    os.utime(file, ns=(1, 1))
    # its digest is unknown at the start: everything is tested
    assert remembered(start(own)) == []
    assert remembered(start(own)) == MODEL_CHECKS
    # the same content is the same result
    assert len(results(own)) == 1


@pytest.mark.parametrize(
    "changes", [{"model_dtype": "bfloat16"}, {"selftest_bytes": 2**29}, {"sae_sets": ("small",)}], ids=str
)
def test_other_settings_have_results_of_their_own(own: Settings, changes: dict[str, Any]) -> None:
    start(own)
    other_settings = own.model_copy(update=changes)
    if "sae_sets" in changes:
        # the remaining sources use the same hooks
        assert remembered(start(other_settings)) == MODEL_CHECKS
    else:
        assert remembered(start(other_settings)) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("_code_digest", "other"), ("_version", "9.9"), ("_cpu_name", "Another CPU"), ("_device", {"driver": "555"})],
)
def test_other_code_libraries_and_hardware_are_tested_again(
    own: Settings, monkeypatch: pytest.MonkeyPatch, name: str, value: Any
) -> None:
    start(own)
    monkeypatch.setattr(result_cache, name, lambda *args: value)
    assert remembered(start(own)) == []
    assert remembered(start(own)) == MODEL_CHECKS


def test_another_number_of_threads_is_tested_again(own: Settings) -> None:
    start(own)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        assert remembered(start(own)) == []
    finally:
        torch.set_num_threads(threads)


def breaking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the mask of one block as soon as the model is loaded."""
    real = model_loading.load_model

    def load(settings: Settings, report: Any) -> Any:
        loaded = real(settings, report)

        def unmask(_module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
            n = kwargs["hidden_states"].shape[1]
            return args, {**kwargs, "attention_mask": torch.zeros(1, 1, n, n)}

        attention: Any = loaded.model.blocks[0].self_attn
        attention.register_forward_pre_hook(unmask, with_kwargs=True)
        return loaded

    monkeypatch.setattr(model_loading, "load_model", load)


def test_a_failed_result_is_not_remembered(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        breaking(broken)
        assert start(own).state == "failed" and results(own) == []
        assert start(own).state == "failed"
    after = start(own)
    assert after.state == "passed" and remembered(after) == []


def test_the_cheap_part_overrides_remembered_results(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    start(own)
    with monkeypatch.context() as broken:
        breaking(broken)
        failed = start(own)
        assert failed.state == "failed" and remembered(failed) == [] and results(own) == []
    assert remembered(start(own)) == []


def test_checks_without_a_result_run_at_the_next_start(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> Any:
        raise torch.OutOfMemoryError

    with monkeypatch.context() as short:
        short.setattr(checks, "check_cache", refuse)
        assert [check.name for check in start(own).checks if check.passed is None] == ["cache"]
    second = start(own)
    assert remembered(second) == [name for name in MODEL_CHECKS if name != "cache"]
    assert all(check.passed for check in second.checks)
    assert remembered(start(own)) == MODEL_CHECKS


def short_of_time(settings: Settings) -> Settings:
    return settings.model_copy(update={"selftest_seconds": 1e-9})


def test_checks_left_out_for_time_run_later_and_are_remembered(own: Settings) -> None:
    hurried = short_of_time(own)
    verification = Verification(hurried)
    loaded = _load(hurried, verification, PublishedCapabilities(verification), lambda text, fraction: None)
    assert [check.passed for check in verification.checks] == [None] * len(MODEL_CHECKS)
    assert verification.storing is None
    left = [verification.run_left_out(loaded) for _ in MODEL_CHECKS]
    assert left == [True] * (len(MODEL_CHECKS) - 1) + [False]
    assert not verification.run_left_out(loaded)
    assert [check.name for check in verification.checks] == MODEL_CHECKS
    assert all(check.passed for check in verification.checks) and verification.state == "passed"
    assert verification.storing is not None
    verification.storing.join(60)
    assert remembered(start(hurried)) == MODEL_CHECKS


def test_a_check_that_fails_later_stops_its_endpoints_and_nothing_is_remembered(
    own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurried = short_of_time(own)
    verification = Verification(hurried)
    breaking(monkeypatch)
    loaded = _load(hurried, verification, PublishedCapabilities(verification), lambda text, fraction: None)
    assert verification.state == "passed"
    while verification.run_left_out(loaded):
        pass
    assert verification.state == "failed" and results(own) == []
    with pytest.raises(Unavailable, match="A self-test check failed"):
        verification.require_path("/v1/activation/single")


def damaged(path: Path, damage: str) -> None:
    text = path.read_text()
    content = json.loads(text)
    match damage:
        case "truncated":
            path.write_text(text[: len(text) // 2])
        case "empty":
            path.write_text("")
        case "another shape":
            path.write_text("[1, 2]")
        case "a changed value":
            content["results"]["checks"][1]["measured"] = 1e-9
            path.write_text(json.dumps(content))
        case _:
            path.write_bytes(b"\xff\xfe\x00")


@pytest.mark.parametrize("damage", ["truncated", "empty", "another shape", "a changed value", "no text"])
def test_damaged_results_are_not_used(own: Settings, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    start(own)
    (path,) = results(own)
    damaged(path, damage)
    restarted = start(own)
    assert restarted.state == "passed" and remembered(restarted) == []
    assert f"{path.name} cannot be used" in caplog.text
    assert remembered(start(own)) == MODEL_CHECKS


@pytest.mark.parametrize("damage", ["truncated", "empty", "another shape", "no text"])
def test_damaged_digests_are_not_used(own: Settings, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    start(own)
    path = own.selftest_results / result_cache.DIGESTS
    damaged(path, damage)
    assert remembered(start(own)) == [] and f"{path.name} cannot be used" in caplog.text
    assert remembered(start(own)) == MODEL_CHECKS


def test_a_read_only_folder_does_not_stop_the_server(own: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    unwritable = own.model_copy(update={"selftest_results": tmp_path / "file" / "results"})
    for _ in range(2):
        verification = start(unwritable)
        assert verification.state == "passed" and remembered(verification) == []


@pytest.fixture
def windowed(settings: MakeSettings, model_folder: Path, tmp_path: Path) -> Settings:
    """Settings for a model with a sliding window of 6 tokens, without sources."""
    folder = write_model(tmp_path / "windowed", CASES["mistral"], model_folder)
    return settings(
        custom_hf_model_id=str(folder), sae_sets=(), selftest_results=tmp_path / "results", selftest_seconds=600
    )


def length_check(verification: Verification) -> Any:
    (check,) = [check for check in status.selftest(verification).checks if check.name == "length 6"]
    return check


def test_texts_on_both_sides_of_a_length_are_checked_and_remembered(windowed: Settings) -> None:
    """The check is run though the time limit leaves out all others."""
    first = start(short_of_time(windowed))
    assert [check.name for check in first.checks if check.passed] == ["length 6"]
    assert length_check(first).endpoints == ["/v1/activation", "/v1/steer"]
    assert first.unverified_beyond is None and status.selftest(first).unverified_beyond is None
    second = start(short_of_time(windowed))
    assert length_check(second).measured_at and second.unverified_beyond is None
    # a longer limit reaches the same boundary, with another text past it
    other = start(short_of_time(windowed.model_copy(update={"token_limit": 7, "max_completion_tokens": 1})))
    assert length_check(other).measured_at is None and other.unverified_beyond is None


@pytest.mark.parametrize("changes", [{"selftest_bytes": 1}, {"selftest_seconds": 0}], ids=str)
def test_lengths_that_are_not_checked_are_unverified(windowed: Settings, changes: dict[str, Any]) -> None:
    verification = start(windowed.model_copy(update=changes))
    assert verification.unverified_beyond == status.selftest(verification).unverified_beyond == 6
    if "selftest_bytes" in changes:
        check = length_check(verification)
        assert check.passed is None and check.words.startswith("skipped: the activations of two texts")
    # a skipped check is run at the next start
    assert start(windowed).unverified_beyond is None
    # texts that reach no boundary need no check
    within = windowed.model_copy(update={**changes, "token_limit": 5, "max_completion_tokens": 1})
    assert start(within).unverified_beyond is None
