"""Lengths at which a model begins to compute differently: found in its configuration, and checked on both sides."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from memicos_engine.capture import capture
from memicos_engine.generation import decoder
from memicos_engine.model.language_model import LanguageModel, load_model
from memicos_engine.model.length_mechanisms import (
    LAYER_BOUNDARIES,
    ROPE_BOUNDARIES,
    LengthMechanism,
    length_mechanisms,
)
from memicos_engine.selftest import runner
from memicos_engine.selftest.checks import CheckResult
from memicos_testing.models.model_classes import CASES, CONTEXT, tiny_config, write_model
from transformers import AutoConfig
from transformers.configuration_utils import ALLOWED_ATTN_LAYER_TYPES
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

LENGTH_WORDS = re.compile(
    r"window|chunk|alibi|block_size|floor|temperature|index|topk|budget|scaling|local|sparse|compress|"
    r"original_max|mem_len|bucket|max_dist|lsh"
)
"""Parts of the names of fields that may make a computation depend on the length of the text."""

READ = {
    "attention_chunk_size", "attn_temperature_tuning", "block_size", "chunk_size", "floor_scale", "index_block_size",
    "index_topk", "index_topk_blocks", "indexer_budget", "keep_window_size", "log_scaling_n_floor", "mamba_chunk_size",
    "original_max_position_embeddings", "sliding_window", "sliding_window_size", "use_sliding_window", "window_size",
}  # fmt: skip
"""Fields that `length_mechanisms` reads."""
NO_BOUNDARY = {
    "alibi": "its bias depends on distances",
    "attention_window_size": "the older name of sliding_window",
    "chunk_size_feed_forward": "parts of the MLP, position by position",
    "chunk_size_lm_head": "parts of the output, position by position",
    "chunkwise_kernel": "the implementation of a computation",
    "max_inference_chunksize": "the implementation of a computation",
    "compress_rates": "of a class that is refused",
    "compress_rope_theta": "a base of frequencies",
    "decoder_sparse_step": "which layers have experts",
    "index_head_dim": "a width",
    "index_local_blocks": "blocks that are always attended to",
    "index_n_heads": "a number of heads",
    "indexer_compress_ratio": "a size of blocks inside the budget",
    "indexer_head_dim": "a width",
    "indexer_kv_heads": "a number of heads",
    "indexer_n_heads": "a number of heads",
    "indexer_types": "which layers share an index",
    "linear_dt_init_floor": "of the initialisation",
    "local_attention": "stated as sliding_window too (ModernBERT decoder)",
    "local_attention_probs_dropout_prob": "of the training",
    "lsh_attention_probs_dropout_prob": "of the training",
    "local_layer_ids": "which layers have windows, stated as layer_types too",
    "mtp_local_layer_ids": "of layers that are not run",
    "log_scaling_alpha": "the strength of the temperature",
    "mask_index": "a token id",
    "unk_index": "a token id",
    "max_window_layers": "which layers have windows, stated as layer_types too",
    "moe_layer_end_index": "which layers have experts",
    "moe_layer_start_index": "which layers have experts",
    "mtp_loss_scaling_factor": "of the training",
    "num_local_experts": "a number of experts",
    "prefix_dense_sliding_window_pattern": "which layers have windows, stated as layer_types too",
    "sliding_window_pattern": "which layers have windows, stated as layer_types too",
    "_sliding_window_pattern": "which layers have windows, stated as layer_types too",
    "rope_scaling": "the older name of rope_parameters",
    "time_step_floor": "of a time step, not of a length",
    "topk_method": "how experts are chosen",
    **dict.fromkeys(("moe_topk", "norm_topk_prob", "topk_group"), "how experts are chosen"),
    **dict.fromkeys(
        ("logits_scaling", "moe_routed_scaling_factor", "routed_scaling_factor", "router_scaling_factor"), "a factor"
    ),
    **dict.fromkeys(
        ("local_attention_window_len", "mem_len", "num_buckets", "position_bias_max_distance",
         "position_bias_num_buckets", "relative_max_distance", "local_attn_chunk_length", "local_num_chunks_after",
         "local_num_chunks_before", "lsh_attn_chunk_length", "lsh_num_chunks_after", "lsh_num_chunks_before"),
        "of a class that is refused (REFUSED in model_classes)",
    ),
}  # fmt: skip


def test_the_tables_have_every_kind_of_the_installed_transformers() -> None:
    assert set(ROPE_BOUNDARIES) == {*ROPE_INIT_FUNCTIONS, "default"}
    assert set(LAYER_BOUNDARIES) == set(ALLOWED_ATTN_LAYER_TYPES)


def test_every_field_that_may_depend_on_the_length_is_read_or_has_a_reason() -> None:
    fields: set[str] = set()
    for model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        if model_type != "gemma4_assistant":  # its default configuration is refused by its own checks
            fields |= AutoConfig.for_model(model_type).get_text_config(decoder=True).to_dict().keys()
    named = {field for field in fields if LENGTH_WORDS.search(field)}
    assert named - READ == NO_BOUNDARY.keys()


def kinds_of_tables() -> set[str]:
    rope = {kind for kind, field in ROPE_BOUNDARIES.items() if field}
    layers = {entry[0] for entry in LAYER_BOUNDARIES.values() if entry}
    return rope | layers | {"attention temperature"}


def test_every_kind_has_a_case_that_crosses_its_boundary() -> None:
    """`dynamic` begins where texts are refused."""
    crossed = {
        mechanism.kind
        for case in CASES.values()
        for mechanism in length_mechanisms(tiny_config(case).get_text_config(decoder=True))
        if mechanism.boundary < CONTEXT
    }
    assert crossed == kinds_of_tables() - {"dynamic"}
    dynamic = length_mechanisms(tiny_config(CASES["llama dynamic"]))
    assert dynamic == (LengthMechanism("dynamic", CONTEXT),)


@pytest.mark.parametrize(
    ("model_type", "values", "expected"),
    [
        ("llama", {}, ()),
        ("mistral", {"sliding_window": 9}, (LengthMechanism("sliding window", 9),)),
        ("mistral", {"sliding_window": None}, ()),
        ("qwen2", {"sliding_window": 9}, ()),  # it is not used
        ("gpt_neo", {}, (LengthMechanism("sliding window", 256),)),
        (
            "llama4_text",
            {},
            (LengthMechanism("attention temperature", 8191), LengthMechanism("attention chunks", 8192)),
        ),
        ("gpt_oss", {}, (LengthMechanism("sliding window", 128), LengthMechanism("yarn", 4096))),
        ("ministral3", {}, (LengthMechanism("attention temperature", 16383), LengthMechanism("yarn", 16384))),
        ("mamba2", {}, (LengthMechanism("state chunks", 256),)),
        ("mamba", {}, ()),
    ],
)
def test_boundaries_of_configurations(
    model_type: str, values: dict[str, Any], expected: tuple[LengthMechanism, ...]
) -> None:
    assert length_mechanisms(AutoConfig.for_model(model_type, **values)) == expected


LIMITS = runner.short_limits(60, 2**30, CONTEXT)
Load = Callable[[str], LanguageModel]


@pytest.fixture(scope="module")
def load(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Load:
    folders: dict[str, Path] = {}

    def loaded(case: str) -> LanguageModel:
        if case not in folders:
            folders[case] = write_model(tmp_path_factory.mktemp("lengths"), CASES[case], small_folder)
        return load_model(case, str(folders[case]))

    return loaded


def length_checks(model: LanguageModel, limits: Any = LIMITS) -> list[CheckResult]:
    return [check for check in runner.check_model(model, [], limits) if check.boundary is not None]


@pytest.mark.parametrize("case", ["phi3 longrope", "mistral", "gpt_oss"])
def test_a_correct_model_passes_on_both_sides(load: Load, case: str) -> None:
    model = load(case)
    checks = length_checks(model)
    assert checks and all(check.passed for check in checks)
    for check in checks:
        assert check.boundary is not None and check.measured is not None and check.measured <= 2e-6
        assert f"{check.boundary} and {check.boundary + 16} tokens in a batch, in parts, generated" in check.detail
    assert runner.unverified_beyond(model, CONTEXT, checks) is None


def lengths_of_the_batch(monkeypatch: pytest.MonkeyPatch, _model: LanguageModel) -> None:
    """All rows get the frequencies of the longest one, as with transformers' own batches."""
    monkeypatch.setattr(capture, "text_lengths", no_lengths)


def keys_are_kept(monkeypatch: pytest.MonkeyPatch, _model: LanguageModel) -> None:
    """A generation that crosses the limit keeps the keys of the other frequencies."""
    monkeypatch.setattr(decoder.Decoder, "_requeue_rows_at_limit", lambda self: None)


def wide_window(monkeypatch: pytest.MonkeyPatch, model: LanguageModel) -> None:
    """Where there is a cache, the mask shows what is outside the window."""
    forward = model.hf.base_model.forward

    def wide(*args: Any, **kwargs: Any) -> Any:
        config: Any = model.hf.config
        window = config.sliding_window
        if kwargs.get("past_key_values") is not None:
            config.sliding_window = 1000
        try:
            return forward(*args, **kwargs)
        finally:
            config.sliding_window = window

    monkeypatch.setattr(model.hf.base_model, "forward", wide)


@contextmanager
def no_lengths(_lengths: Any) -> Iterator[None]:
    yield


@pytest.mark.parametrize(
    ("case", "damage", "place"),
    [
        ("phi3 longrope", lengths_of_the_batch, "in a batch"),
        ("phi3 longrope", keys_are_kept, "generated up to"),
        ("mistral", wide_window, "past 6"),
    ],
)
def test_a_fault_beyond_the_boundary_is_found(
    load: Load, monkeypatch: pytest.MonkeyPatch, case: str, damage: Any, place: str
) -> None:
    model = load(case)
    damage(monkeypatch, model)
    checks = length_checks(model)
    assert any(check.passed is False and place in check.detail for check in checks), checks
    assert runner.unverified_beyond(model, CONTEXT, checks) == checks[0].boundary


def test_what_is_not_run_is_unverified_and_time_is_no_reason(load: Load) -> None:
    model = load("mistral")
    hurried = runner.short_limits(0, 2**30, CONTEXT)
    (check,) = length_checks(model, hurried)
    assert check.passed and check.boundary == 6
    (check,) = length_checks(model, runner.short_limits(60, 1000, CONTEXT))
    assert check.passed is None and "take" in check.detail and "limit is 1,000" in check.detail
    assert runner.unverified_beyond(model, CONTEXT, [check]) == 6
    assert runner.unverified_beyond(model, CONTEXT, []) == 6
    # texts that are not served need no check
    assert length_checks(model, runner.short_limits(60, 2**30, 6)) == []
    assert runner.unverified_beyond(model, 6, []) is None


@torch.inference_mode()
def test_a_text_just_past_the_boundary_is_enough(load: Load) -> None:
    """The longest text that is served is one token longer than the boundary."""
    model = load("mistral")
    (check,) = length_checks(model, runner.short_limits(60, 2**30, 7))
    assert check.passed and "texts of 6 and 7 tokens" in check.detail
