"""Several prompts in one padded run give the same values as each prompt alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from memicos_engine.capture import activations
from memicos_engine.capture.capture import CaptureRequest, capture_in_slices, capture_together
from memicos_engine.errors import InvalidRequestError
from memicos_engine.model.hook_points import check_capturable
from memicos_engine.model.language_model import LanguageModel
from memicos_testing.models import plain_model

Tiny = Callable[[str], tuple[LanguageModel, Any]]
TEXTS = (
    "The Queen turned angrily away from him, and said to the Knave, Turn them over!",
    "",
    "She had never before seen a rabbit with either a waistcoat-pocket, or a watch to take out of it.",
    "Alice",
)
CLOSE = 1e-4


@pytest.fixture(scope="module")
def prompts(small: LanguageModel) -> list[list[int]]:
    return [small.token_ids(text, prepend_bos=True) for text in TEXTS]


def close(actual: Any, expected: Any) -> bool:
    return np.allclose(actual, expected, rtol=CLOSE, atol=CLOSE)


@pytest.mark.parametrize("hook", ["blocks.2.hook_resid_post", "blocks.3.hook_mlp_out", "blocks.2.attn.hook_pattern"])
def test_activations(small: LanguageModel, prompts: list[list[int]], hook: str) -> None:
    batch = capture_together(small, [CaptureRequest(prompts, [hook])])[0]
    for ids, captured in zip(prompts, batch, strict=True):
        single = capture_together(small, [CaptureRequest([ids], [hook])])[0][0][hook]
        assert captured[hook].shape == single.shape and len(ids) in single.shape
        assert close(captured[hook], single)


def test_every_hook_that_the_bridge_names_is_captured_or_refused(
    small: LanguageModel, prompts: list[list[int]]
) -> None:
    names = [name for name in small.bridge.hook_dict if not name.startswith(("blocks.0", "blocks.1", "blocks.2"))]
    captured = 0
    for name in names:
        try:
            check_capturable(small, name)
            for ids, tensors in zip(
                prompts, capture_together(small, [CaptureRequest(prompts, [name])])[0], strict=True
            ):
                assert tensors[name].shape[0] == len(ids) and tensors[name].dim() == 2, name
            captured += 1
        except InvalidRequestError as refusal:
            assert "one vector per position" in str(refusal) or "not run" in str(refusal)
    assert captured > 20


def test_a_batch_equals_single_runs_of_plain_transformers(
    small: LanguageModel, small_plain: Any, prompts: list[list[int]]
) -> None:
    for ids, captured in zip(
        prompts, capture_together(small, [CaptureRequest(prompts, ["blocks.1.hook_resid_post"])])[0], strict=True
    ):
        assert close(captured["blocks.1.hook_resid_post"], plain_model.residuals(small_plain, ids, [1])[1])


@pytest.mark.parametrize("architecture", ["jumprelu", "topk"])
def test_feature_values_of_a_prompt(
    small: LanguageModel, prompts: list[list[int]], make_sae: Any, architecture: str
) -> None:
    _, first = make_sae(2, 128, architecture=architecture)
    _, second = make_sae(1, 96, architecture=architecture, seed=1, ignored=[0, 3], norm_cut=43.0)
    direction = np.random.default_rng(0).normal(size=128).tolist()
    features = activations.feature_activations(small, second, prompts, 5, ignore_bos=True)
    vectors = activations.vector_activations(small, "blocks.1.hook_mlp_out", direction, prompts)
    best = activations.top_features(small, [first, second], prompts, 30)
    by_token = activations.top_features_by_token(small, second, prompts, 4)
    active = activations.sparse_activations(small, second, prompts, 100_000)
    for row, ids in enumerate(prompts):
        for batched, single in (
            (features[row], activations.feature_activations(small, second, [ids], 5, ignore_bos=True)[0]),
            (vectors[row], activations.vector_activations(small, "blocks.1.hook_mlp_out", direction, [ids])[0]),
        ):
            assert len(batched.values) == len(ids) and close(batched.values, single.values)
            assert (batched.max_position, batched.ignored) == (single.max_position, single.ignored)
        single = activations.top_features(small, [first, second], [ids], 30)[0]
        assert [
            (top_feature.source, top_feature.index, top_feature.max_position) for top_feature in best[row].features
        ] == [(top_feature.source, top_feature.index, top_feature.max_position) for top_feature in single.features]
        assert all(close(a.values, b.values) for a, b in zip(best[row].features, single.features, strict=True))
        assert (best[row].counts, best[row].ignored) == (single.counts, single.ignored)
        single = activations.top_features_by_token(small, second, [ids], 4)[0]
        assert [[index for index, _ in item] for item in by_token[row].rows] == [
            [index for index, _ in item] for item in single.rows
        ]
        assert close([v for item in by_token[row].rows for _, v in item], [v for item in single.rows for _, v in item])
        single = activations.sparse_activations(small, second, [ids], 100_000)[0]
        assert active[row].ignored == single.ignored and active[row].features.keys() == single.features.keys()
        assert all(close(active[row].features[index], single.features[index]) for index in single.features)


def test_firing_values_are_those_above_0_at_counted_positions(
    small: LanguageModel, small_plain: Any, prompts: list[list[int]], make_sae: Any
) -> None:
    folder, source = make_sae(2, 128, ignored=[0, 4], norm_cut=42.0)
    everywhere = activations.sparse_activations(small, source, prompts, 100_000, ignore_bos=False)
    for ids, firing, firing_everywhere in zip(
        prompts, activations.sparse_activations(small, source, prompts, 100_000), everywhere, strict=True
    ):
        hidden = plain_model.residuals(small_plain, ids, [2])[2]
        values, near_threshold = plain_model.encode(folder, hidden)
        counted = plain_model.counted(hidden, [0, 4], 42.0)
        assert firing.ignored == firing_everywhere.ignored == np.flatnonzero(~counted).tolist()
        for activations_of_prompt, part in ((firing, counted), (firing_everywhere, np.ones_like(counted))):
            dense = np.zeros_like(values)
            for index, pairs in activations_of_prompt.features.items():
                assert pairs == sorted(pairs) and pairs
                for position, value in pairs:
                    dense[position, index] = value
            off = np.abs(dense - values * part[:, None]) > 1e-3 * np.maximum(1, values)
            assert not (off & ~near_threshold).any()
        assert list(firing.features) == sorted(firing.features)
    total = sum(len(pairs) for activations_of_prompt in everywhere for pairs in activations_of_prompt.features.values())
    assert activations.sparse_activations(small, source, prompts, total, ignore_bos=False) == everywhere
    with pytest.raises(InvalidRequestError, match=f"more than {total - 1} values"):
        activations.sparse_activations(small, source, prompts, total - 1, ignore_bos=False)


def test_refused_requests(small: LanguageModel, prompts: list[list[int]], make_sae: Any) -> None:
    _, source = make_sae(2, 128)
    with pytest.raises(InvalidRequestError, match="position 1: the shortest prompt has positions 0 to 0"):
        activations.top_features(small, [source], prompts, 5, sort_positions=[1])
    with torch.no_grad():
        source.sae.W_enc[:, 3] = torch.nan
    with pytest.raises(InvalidRequestError, match="not finite"):
        activations.sparse_activations(small, source, prompts, 100_000)


def test_slice_length_is_read_at_the_start_of_each_slice(small: LanguageModel) -> None:
    """This also holds for rows added earlier: a step waits for one slice only."""
    prompts = [[2, *range(10, 10 + n)] for n in (20, 21, 22, 23, 70)]
    slice_tokens, sizes = 1000, []
    requests = [CaptureRequest(prompts, ["blocks.1.hook_resid_post"])]
    slices = capture_in_slices(small, requests, lambda: slice_tokens, lambda ran: sizes.append(ran.padded))
    slice_tokens = 50
    while (sliced := next(slices)) is None:
        slice_tokens = 25
    assert sizes == [44, 23, 24, 25, 25, 21]
    unsliced = capture_together(small, requests)
    for sliced_tensors, unsliced_tensors in zip(sliced[0], unsliced[0], strict=True):
        (sliced_values,), (unsliced_values,) = sliced_tensors.values(), unsliced_tensors.values()
        assert sliced_values.shape == unsliced_values.shape and torch.allclose(
            sliced_values, unsliced_values, atol=1e-4
        )


@pytest.mark.parametrize("hook", ["blocks.0.hook_resid_pre", "blocks.0.hook_resid_post"])
def test_a_part_of_a_prompt_has_its_own_positions(tiny: Tiny, hook: str) -> None:
    """With learned positions, and before any layer has run that records the number of earlier positions."""
    model, _ = tiny("gpt2")
    requests = [CaptureRequest([[2, *range(10, 40)]], [hook])]
    *_, parts = capture_in_slices(model, requests, lambda: 7)
    (unsplit,) = capture_together(model, requests)
    assert parts is not None and torch.allclose(parts[0][0][hook], unsplit[0][hook], atol=1e-5)
