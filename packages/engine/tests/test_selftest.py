"""The self-test passes on correct models of four architectures, and detects each deliberate fault."""

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from memicos_engine.errors import InvalidRequestError
from memicos_engine.generation.decoder import Decoder
from memicos_engine.model.language_model import LanguageModel, load_model
from memicos_engine.selftest import checks, reconstruction_record, runner
from memicos_engine.selftest.checks import CheckLimits, CheckResult
from memicos_engine.selftest.float32_reference import CheckNotPossible, Float32Reference
from memicos_engine.selftest.reconstruction_record import (
    FILE_NAME,
    measure_reconstruction,
    probe_texts,
    read_record,
    record_path,
    write_record,
)
from memicos_engine.selftest.source_checks import check_metrics
from memicos_engine.sources.source import SaeSource
from memicos_testing.models import plain_model
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, Gemma2Config, GPT2Config, Qwen2Config

MakeSae = Callable[..., tuple[Path, SaeSource]]
LIMITS = CheckLimits(positions=40, generated_tokens=4)
WIDTH, LAYERS, VOCABULARY, CONTEXT = 32, 4, 3000, 64
# large enough that attention matters
SPREAD = 0.3
CONFIGS = {
    "gpt2": GPT2Config(n_embd=WIDTH, n_layer=LAYERS, n_head=4, n_positions=CONTEXT, initializer_range=SPREAD),
    "gemma2": Gemma2Config(
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        intermediate_size=64,
        sliding_window=8,
        attn_logit_softcapping=2.0,
        final_logit_softcapping=3.0,
        max_position_embeddings=CONTEXT,
        initializer_range=SPREAD,
    ),
    "qwen2": Qwen2Config(
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=CONTEXT,
        initializer_range=SPREAD,
    ),
}


@pytest.fixture(scope="module")
def folders(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders with a model of each architecture: random weights, except for glassllm's."""
    folders_by_name = {"llama": small_folder}
    for name, config in CONFIGS.items():
        folder = tmp_path_factory.mktemp(name)
        for file in small_folder.glob("tokenizer*"):
            shutil.copy(file, folder)
        torch.manual_seed(0)
        config.vocab_size = VOCABULARY
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        folders_by_name[name] = folder
    return folders_by_name


@pytest.fixture(params=["llama", *CONFIGS])
def model(request: pytest.FixtureRequest, folders: dict[str, Path]) -> LanguageModel:
    return load_model(request.param, str(folders[request.param]))


@pytest.fixture
def llama(small_folder: Path) -> LanguageModel:
    """glassllm, for tests that damage it."""
    return load_model("small", str(small_folder))


def checked(model: LanguageModel, limits: CheckLimits = LIMITS) -> dict[str, CheckResult]:
    return {check.name: check for check in runner.check_model(model, [], limits)}


def failed(results: dict[str, CheckResult]) -> set[str]:
    assert all(check.passed is not None for check in results.values()), results
    return {name for name, check in results.items() if check.passed is False}


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-6), ("bfloat16", 1.2e-2)])
def test_a_correct_model_passes(model: LanguageModel, dtype: str, tolerance: float) -> None:
    results = checked(load_model(model.id, model.location, dtype=dtype))
    lengths = ["length 8"] if model.id == "gemma2" else []
    assert list(results) == ["embedding", "blocks", "unembedding", "batch", "cache", "weights", *lengths]
    assert all(check.passed for check in results.values()), results
    # far below the tolerance
    assert max(check.measured or 0 for check in results.values()) < tolerance


def test_the_reference_is_transformers_own_eager_model(model: LanguageModel) -> None:
    """The reference's blocks, mask, positions, embedding and unembedding in sequence equal the whole model."""
    ids = list(range(5, 45))
    eager_model: Any = AutoModelForCausalLM.from_pretrained(
        model.location, attn_implementation="eager", dtype=torch.float32
    )
    with torch.inference_mode():
        expected = eager_model(torch.tensor([ids])).logits[0]
    reference = Float32Reference(model)
    hidden = reference.embedded(eager_model.get_input_embeddings().weight.detach()[ids])
    for layer in range(model.n_layers):
        hidden = reference.block(layer, hidden)
    torch.testing.assert_close(
        reference.logits(reference.final_norm(hidden), slice(None)), expected, rtol=1e-4, atol=1e-4
    )


def attention(model: LanguageModel, layer: int) -> Any:
    block: Any = model.blocks[layer]
    return getattr(block, "self_attn", None) or block.attn


def show_what_comes(model: LanguageModel) -> None:
    """Attention of block 1 sees later tokens."""

    def unmask(_module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        n = (args[0] if args else kwargs["hidden_states"]).shape[1]
        return args, {**kwargs, "attention_mask": torch.zeros(1, 1, n, n, dtype=model.dtype)}

    attention(model, 1).register_forward_pre_hook(unmask, with_kwargs=True)


def count_from_one(model: LanguageModel) -> None:
    """Positions after a cache are one too high."""

    def late(_module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        cache = kwargs.get("past_key_values")
        if cache is not None and cache.get_seq_length():
            kwargs = {**kwargs, "position_ids": kwargs["position_ids"] + 1}
        return args, kwargs

    model.hf.register_forward_pre_hook(late, with_kwargs=True)


def test_a_wrong_mask_is_caught(model: LanguageModel) -> None:
    show_what_comes(model)
    assert "blocks" in failed(checked(model))


def test_a_cache_whose_positions_are_off_by_one_is_caught(model: LanguageModel) -> None:
    count_from_one(model)
    # a generation across the sliding window has a cache too
    assert failed(checked(model)) == ({"cache", "length 8"} if model.id == "gemma2" else {"cache"})


def test_wrong_mask_and_cache_are_caught_in_16_bit(folders: dict[str, Path]) -> None:
    for break_it, name in ((show_what_comes, "blocks"), (count_from_one, "cache")):
        model = load_model("llama", str(folders["llama"]), dtype="bfloat16")
        break_it(model)
        assert name in failed(checked(model))


def test_an_ignored_sliding_window_is_caught(folders: dict[str, Path]) -> None:
    """Short texts do not show it; Gemma 2 has a sliding window in every second block."""

    def widen(_module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        mask = torch.full_like(kwargs["attention_mask"], torch.finfo(torch.float32).min).triu(1)
        return args, {**kwargs, "attention_mask": mask}

    model = load_model("gemma2", str(folders["gemma2"]))
    attention(model, 0).register_forward_pre_hook(widen, with_kwargs=True)
    check = checks.check_blocks(model, LIMITS)
    assert check.passed is False and check.detail.endswith("the worst is 0")
    assert checks.check_blocks(model, replace(LIMITS, positions=8)).passed


def test_hooks_shifted_by_a_layer_are_caught(model: LanguageModel) -> None:
    vars(model)["blocks"] = torch.nn.ModuleList([*model.blocks[1:], model.blocks[-1]])
    assert {"embedding", "blocks"} <= failed(checked(model))


def test_a_corrupted_weight_is_caught(llama: LanguageModel) -> None:
    weight = next(p for p in llama.blocks[2].parameters() if p.ndim == 2)
    with torch.no_grad():
        weight[3, 5] += 1e-3
    results = checked(llama)
    assert failed(results) == {"weights"}
    assert "model.layers.2." in results["weights"].detail


def test_a_weight_changed_after_the_norm_is_caught(llama: LanguageModel) -> None:
    """As if the final norm were folded into the unembedding in place."""
    head: Any = llama.hf.get_output_embeddings()
    head.register_forward_hook(lambda _module, _args, logits: logits * torch.linspace(0.9, 1.1, logits.shape[-1]))
    assert failed(checked(llama)) == {"unembedding"}


def test_swapped_embeddings_are_caught(llama: LanguageModel) -> None:
    ids = llama.token_ids(probe_texts()[0], prepend_bos=True)
    table: Any = llama.hf.get_input_embeddings().weight
    with torch.no_grad():
        table[[ids[1], ids[2]]] = table[[ids[2], ids[1]]]
    assert failed(checked(llama)) == {"embedding", "weights"}


def test_padding_that_is_not_masked_is_caught(llama: LanguageModel) -> None:
    def unmask(_module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        if kwargs.get("past_key_values") is not None:
            kwargs = {**kwargs, "attention_mask": torch.ones_like(kwargs["attention_mask"])}
        return args, kwargs

    llama.hf.register_forward_pre_hook(unmask, with_kwargs=True)
    assert failed(checked(llama)) == {"cache"}


def test_steering_that_misses_generated_tokens_is_caught(llama: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a patch were applied to the prompt only."""
    original_step = Decoder.step

    def prompt_only(self: Any) -> Any:
        for generation in self.generations:
            generation.steering = [{} for _ in generation.rows]
        return original_step(self)

    monkeypatch.setattr(Decoder, "step", prompt_only)
    results = checked(llama)
    assert failed(results) == {"cache"} and "steering" in results["cache"].detail


def test_mixed_up_rows_of_a_batch_are_caught(llama: LanguageModel) -> None:
    """As with a norm over the batch."""

    def mix(_module: Any, _args: Any, output: Any) -> Any:
        hidden = output if isinstance(output, torch.Tensor) else output[0]
        mixed = hidden + 0.02 * (hidden.mean(0, keepdim=True) - hidden)
        return mixed if isinstance(output, torch.Tensor) else (mixed, *output[1:])

    llama.blocks[1].register_forward_hook(mix)
    assert {"batch", "cache"} <= failed(checked(llama))


def test_values_that_are_not_finite_fail(llama: LanguageModel) -> None:
    with torch.no_grad():
        llama.hf.get_parameter("model.layers.1.mlp.down_proj.weight")[0, 0] = math.nan
    assert {"blocks", "weights"} <= failed(checked(llama))


def test_a_source_with_other_metrics_than_recorded_is_caught(llama: LanguageModel, make_sae: MakeSae) -> None:
    _, source = make_sae(2, width=128)
    reconstruction_record = measure_reconstruction(llama, source)
    results = runner.check_source(llama, source.id, lambda: source, lambda: reconstruction_record)
    assert results.passed and results.measured == 0 and results.source == source.id
    with torch.no_grad():
        source.sae.W_enc[:, 7] *= 3
    results = runner.check_source(llama, source.id, lambda: source, lambda: reconstruction_record)
    assert results.passed is False and "recorded" in results.detail
    unknown = runner.check_source(llama, source.id, lambda: source, lambda: None)
    assert unknown.passed is None and unknown.detail == "not recorded"


def test_probe_metrics_equal_those_by_numpy(small_plain: Any, llama: LanguageModel, make_sae: MakeSae) -> None:
    folder, source = make_sae(1, width=128, ignored=[0], norm_cut=40.0)
    weights = load_file(folder / "sae_weights.safetensors")
    hidden_states, features = [], []
    for text in probe_texts():
        ids = llama.token_ids(text, prepend_bos=True)[:128]
        hidden = plain_model.residuals(small_plain, ids, [1])[1]
        counted = plain_model.counted(hidden, [0], 40.0)
        hidden_states.append(hidden[counted])
        features.append(plain_model.encode(folder, hidden)[0][counted])
    hidden, active = np.concatenate(hidden_states), np.concatenate(features)
    rebuilt = active @ weights["W_dec"].astype(np.float64) + weights["b_dec"]
    reconstruction_record = measure_reconstruction(llama, source)
    assert (
        reconstruction_record.tokens
        == len(hidden)
        < sum(len(llama.token_ids(text, True)[:128]) for text in probe_texts()) - 4
    )
    assert reconstruction_record.l0 == pytest.approx((active > 0).sum(1).mean(), rel=1e-3)
    share = 1 - ((hidden - rebuilt) ** 2).sum() / ((hidden - hidden.mean(0)) ** 2).sum()
    assert reconstruction_record.explained_variance == pytest.approx(share, abs=1e-4)
    assert reconstruction_record.largest_norm == pytest.approx(np.linalg.norm(hidden, axis=1).max(), rel=1e-5)


def test_a_record_belongs_to_one_model_and_one_text(
    llama: LanguageModel, make_sae: MakeSae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, source = make_sae(1, width=128)
    measured = measure_reconstruction(llama, source)
    path = record_path(tmp_path / "probes", "owner/model", "../1-some")
    assert path.parent == tmp_path / "probes" and path != record_path(tmp_path / "probes", "owner", "model/../1-some")
    assert read_record(path, "owner/model") is None
    write_record(path, "owner/model", measured)
    assert read_record(path, "owner/model") == measured and read_record(path, "owner/model-it") is None
    monkeypatch.setattr(reconstruction_record, "probe_texts", lambda: ("another",))
    assert read_record(path, "owner/model") is None


def test_the_demos_sources_have_the_recorded_metrics(
    demo: LanguageModel, demo_sources: list[tuple[Path, SaeSource]]
) -> None:
    for folder, source in demo_sources:
        recorded = read_record(folder / FILE_NAME, demo.id)
        assert recorded is not None
        check = runner.check_source(demo, source.id, lambda source=source: source, lambda recorded=recorded: recorded)
        assert check.passed, check
        assert [check.problem or check.remark for check in check_metrics(source, recorded)] == [None] * 5


def test_weights_used_at_another_hook_fail(demo: LanguageModel, demo_sources: Any) -> None:
    _, source = demo_sources[1]
    shifted = measure_reconstruction(
        demo, replace(source, recipe=replace(source.recipe, hook_name="blocks.15.hook_mlp_out"))
    )
    (problem,) = [check.problem for check in check_metrics(source, shifted) if check.problem]
    assert "explained variance is -" in problem
    sinks = measure_reconstruction(
        demo, replace(source, recipe=replace(source.recipe, ignored_positions=(), norm_cut=None))
    )
    problem, *_ = [check.problem or "" for check in check_metrics(source, sinks)]
    assert "explained variance is -" in problem and "a few tokens decide (norms up to 2" in problem
    with pytest.raises(InvalidRequestError, match="its recipe ignores every token"):
        measure_reconstruction(demo, replace(source, recipe=replace(source.recipe, norm_cut=1.0)))


def test_the_short_self_test_reports_what_it_skips(llama: LanguageModel) -> None:
    limits = replace(runner.short_limits(10, 2**30), blocks=2)
    results = checked(llama, limits)
    assert all(check.passed for check in results.values())
    assert results["blocks"].detail.startswith("0, 3 of 4 blocks at 24 positions")
    assert results["weights"].detail.startswith("18 of 38 tensors")
    late = checked(llama, runner.short_limits(0, 2**30))
    assert all(check.passed is None and "time limit of 0 s is reached" in check.detail for check in late.values())
    narrow = checked(llama, runner.short_limits(10, 1000))
    assert narrow["blocks"].passed is None and "the limit is 1,000" in narrow["blocks"].detail
    assert failed({name: check for name, check in narrow.items() if name != "blocks"}) == set()


def test_an_unsupported_part_of_an_architecture_is_reported(
    llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama.hf.config, "model_type", "novel")
    with pytest.raises(CheckNotPossible, match="novel"):
        checks.check_embedding(llama, LIMITS)
    left_out = checked(llama)["embedding"]
    assert left_out.passed is None and "skipped: the embedding of novel is not supported" in left_out.detail


def test_a_check_that_raises_fails(llama: LanguageModel) -> None:
    def no_kernel(*_: Any) -> None:
        raise RuntimeError("no kernel for this")

    llama.blocks[1].register_forward_hook(no_kernel)
    results = checked(llama)
    assert {"blocks", "unembedding", "batch", "cache"} == failed(results)
    assert results["blocks"].detail == "could not be compared: RuntimeError: no kernel for this"
