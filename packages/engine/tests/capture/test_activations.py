"""Features and vectors on a prompt against plain transformers and a numpy encode."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from memicos_engine.capture import activations
from memicos_engine.errors import InvalidRequestError
from memicos_engine.model.language_model import LanguageModel, load_model
from memicos_engine.sources.feature_encoding import encode_features
from memicos_engine.sources.source import Source
from memicos_engine.sources.source_loading import load_source
from memicos_testing.models import plain_model

ARCHITECTURES = ("jumprelu", "standard", "gated", "topk")
PROMPTS = (
    "The Queen turned angrily away from him, and said to the Knave, Turn them over!",
    "She had never before seen a rabbit with either a waistcoat-pocket, or a watch to take out of it.",
)
DEMO_PROMPTS = (
    "On July 4, 1776, the Congress of the United States met in Philadelphia and voted for independence.",
    "def area(radius):\n    return 3.14159 * radius ** 2  # in square metres\n",
    "The whale swam slowly past the ship, and nobody on board dared to say a word about it. Ça alors, 東京!",
)
NEAR_SHARE = 1e-3


def agrees(actual: np.ndarray, expected: np.ndarray, near_threshold: np.ndarray) -> None:
    """|a - b| <= 1e-3 max(1, |b|), except for fewer than 1 in 1,000 entries, which are near a threshold."""
    off = np.abs(actual - expected) > 1e-3 * np.maximum(1, np.abs(expected))
    assert not (off & ~near_threshold).any(), f"{(off & ~near_threshold).sum()} of {off.size} values differ"
    assert (off & near_threshold).mean() < NEAR_SHARE


def check_strongest(
    ranked: activations.RankedFeatures,
    sources: list[Source],
    expected: list[np.ndarray],
    taking_part: list[np.ndarray],
    limit: int,
) -> None:
    """The ranked features have the largest maxima over counted positions, each with its own values."""
    by_id = {source.id: (values, part) for source, values, part in zip(sources, expected, taking_part, strict=True)}
    maxima = np.concatenate([values[part].max(0) for values, part in by_id.values()])
    best = np.sort(maxima[maxima > 0])[::-1][:limit]
    assert np.allclose([top_feature.score for top_feature in ranked.features], best, rtol=1e-3, atol=1e-3)
    for top_feature in ranked.features:
        values, part = by_id[top_feature.source]
        assert (
            top_feature.max_value
            == top_feature.score
            == pytest.approx(values[part, top_feature.index].max(), rel=1e-3, abs=1e-3)
        )
        assert part[top_feature.max_position] and top_feature.values[top_feature.max_position] == top_feature.max_value
        assert np.allclose(top_feature.values, values[:, top_feature.index], rtol=1e-3, atol=1e-3)
    assert len({(top_feature.source, top_feature.index) for top_feature in ranked.features}) == len(ranked.features)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("layer", [0, 2, 3])
def test_values_on_the_small_model(
    small: LanguageModel, small_plain: Any, make_sae: Any, architecture: str, layer: int
) -> None:
    folder, source = make_sae(layer, architecture=architecture)
    for prompt in PROMPTS:
        ids = small.token_ids(prompt, prepend_bos=True)
        expected, near_threshold = plain_model.encode(folder, plain_model.residuals(small_plain, ids, [layer])[layer])
        full = activations.top_features(small, [source], [ids], source.d_sae, only=range(source.d_sae))[0]
        assert [
            top_feature.index for top_feature in sorted(full.features, key=lambda top_feature: top_feature.index)
        ] == list(range(source.d_sae))
        actual = np.array(
            [top_feature.values for top_feature in sorted(full.features, key=lambda top_feature: top_feature.index)]
        ).T
        agrees(actual, expected, near_threshold)
        for index in (0, 17, source.d_sae - 1):
            result = activations.feature_activations(small, source, [ids], index, ignore_bos=False)[0]
            agrees(np.array(result.values), expected[:, index], near_threshold[:, index])
            assert (result.max_value, result.max_position) == (max(result.values), int(np.argmax(result.values)))


def test_values_on_the_demo(demo: LanguageModel, demo_plain: Any, demo_sources: list[tuple[Path, Source]]) -> None:
    sources = [source for _, source in demo_sources]
    rng = np.random.default_rng(0)
    for prompt in DEMO_PROMPTS:
        ids = demo.token_ids(prompt, prepend_bos=True)
        hidden = plain_model.residuals(demo_plain, ids, [source.layer for source in sources])
        expected, parts = [], []
        all_features = activations.top_features(demo, sources, [ids], 3 * 4096, ignore_bos=False)[0]
        for folder, source in demo_sources:
            values, near_threshold = plain_model.encode(folder, hidden[source.layer])
            recipe = json.loads((folder / "memicos.json").read_text())
            part = plain_model.counted(hidden[source.layer], recipe["ignored_positions"], recipe["norm_cut"])
            actual = np.zeros_like(values)
            for top_feature in all_features.features:
                if top_feature.source == source.id:
                    actual[:, top_feature.index] = top_feature.values
            agrees(actual, values, near_threshold)
            index = int(rng.choice(np.flatnonzero(values.max(0) > 0)))
            result = activations.feature_activations(demo, source, [ids], index, ignore_bos=True)[0]
            agrees(np.array(result.values), values[:, index], near_threshold[:, index])
            assert result.max_value == max(np.array(result.values)[part])
            assert result.ignored == np.flatnonzero(~part).tolist()
            assert np.abs(np.array(all_features.counts[source.layer]) - (values > 0).sum(-1)).max() <= 1
            expected.append(values)
            parts.append(part)
        ranked = activations.top_features(demo, sources, [ids], 40)[0]
        check_strongest(ranked, sources, expected, parts, 40)
        assert ranked.ignored == [np.flatnonzero(~part).tolist() for part in parts]
        assert len(ranked.counts) == 24 and not np.any(ranked.counts[:7])


def test_strongest_features_of_several_sources_without_ignored_positions(
    small: LanguageModel, small_plain: Any, make_sae: Any
) -> None:
    ids = small.token_ids(PROMPTS[0], prepend_bos=True)
    hidden = plain_model.residuals(small_plain, ids, [2])[2]
    cut = float(np.sort(np.linalg.norm(hidden[1:], axis=-1))[-3])
    sources_list = [
        make_sae(2, 128, ignored=[0, 5, 900], norm_cut=cut),
        make_sae(1, 300, architecture="standard", seed=1),
        make_sae(2, 64, architecture="topk", seed=2, ignored=[]),
    ]
    sources = [source for _, source in sources_list]
    expected, parts = [], []
    for (folder, source), (ignored, norm_cut) in zip(
        sources_list, [([0, 5], cut), ([0], None), ([], None)], strict=True
    ):
        residual = plain_model.residuals(small_plain, ids, [source.layer])[source.layer]
        expected.append(plain_model.encode(folder, residual)[0])
        parts.append(plain_model.counted(residual, ignored, norm_cut))
    assert (~parts[0]).sum() == 2 + 2  # positions 0 and 5, and two above the cut
    for limit in (1, 10, 10_000):
        ranked = activations.top_features(small, sources, [ids], limit)[0]
        check_strongest(ranked, sources, expected, parts, limit)
        assert ranked.ignored == [np.flatnonzero(~part).tolist() for part in parts]
    assert {top_feature.source for top_feature in ranked.features} == {source.id for source in sources}
    everywhere = [np.ones(len(ids), dtype=bool)] * 3
    check_strongest(
        activations.top_features(small, sources, [ids], 30, ignore_bos=False)[0],
        sources,
        expected,
        everywhere,
        limit=30,
    )
    active = [(values > 0).sum(-1) for values in expected]
    assert ranked.counts[0] == [0] * len(ids)
    assert ranked.counts[1] == active[1].tolist() and ranked.counts[2] == (active[0] + active[2]).tolist()


def test_ranking_by_chosen_positions(small: LanguageModel, small_plain: Any, make_sae: Any) -> None:
    folder, source = make_sae(1)
    ids = small.token_ids(PROMPTS[1], prepend_bos=True)
    values, _ = plain_model.encode(folder, plain_model.residuals(small_plain, ids, [1])[1])
    ranked = activations.top_features(small, [source], [ids], 20, sort_positions=[3, 4, 3, 0])[0]
    sums = values[[3, 4]].sum(0)  # 0 does not count, 3 counts once
    assert np.allclose(
        [top_feature.score for top_feature in ranked.features], np.sort(sums)[::-1][:20], rtol=1e-3, atol=1e-3
    )
    for top_feature in ranked.features:
        assert top_feature.score == pytest.approx(sums[top_feature.index], rel=1e-3)
        assert top_feature.max_value == pytest.approx(values[1:, top_feature.index].max(), rel=1e-3)
    with_bos = activations.top_features(small, [source], [ids], 20, sort_positions=[0], ignore_bos=False)[0]
    assert [top_feature.score for top_feature in with_bos.features] == [
        top_feature.values[0] for top_feature in with_bos.features
    ]
    # where no feature is active at the chosen positions, ties are ordered by index
    no_features = activations.top_features(small, [source], [ids], 1000, sort_positions=[0])[0]
    assert [top_feature.index for top_feature in no_features.features] == np.flatnonzero(values[1:].max(0) > 0).tolist()
    assert {top_feature.score for top_feature in no_features.features} == {0.0}


def test_requested_features_are_returned_even_if_they_do_not_fire(small: LanguageModel, make_sae: Any) -> None:
    _, source = make_sae(2)
    ids = small.token_ids("Alice", prepend_bos=True)
    ranked = activations.top_features(small, [source], [ids], 10, only=[9, 3, 9, 200])[0]
    assert sorted(top_feature.index for top_feature in ranked.features) == [3, 9, 200]
    assert min(top_feature.max_value for top_feature in ranked.features) == 0
    assert len(activations.top_features(small, [source], [ids], 2, only=[9, 3, 200])[0].features) == 2
    assert activations.top_features(small, [source], [ids], 10, only=[])[0].features == []
    with pytest.raises(InvalidRequestError, match=r"0 to 255.*256"):
        activations.top_features(small, [source], [ids], 10, only=[3, 256])


def test_topk_by_token(small: LanguageModel, small_plain: Any, make_sae: Any) -> None:
    for architecture in ("jumprelu", "topk"):
        folder, source = make_sae(2, architecture=architecture, ignored=[0, 2])
        ids = small.token_ids(PROMPTS[0], prepend_bos=True)
        values, _ = plain_model.encode(folder, plain_model.residuals(small_plain, ids, [2])[2])
        by_token = activations.top_features_by_token(small, source, [ids], 12)[0]
        assert by_token.ignored == [0, 2] and len(by_token.rows) == len(ids)
        for row, expected in zip(by_token.rows, values, strict=True):
            best = np.sort(expected[expected > 0])[::-1][:12]
            assert np.allclose([value for _, value in row], best, rtol=1e-3, atol=1e-3)
            assert all(value == pytest.approx(expected[index], rel=1e-3, abs=1e-3) for index, value in row)
    assert activations.top_features_by_token(small, source, [ids], 10_000)[0].rows[3] == by_token.rows[3][:8]


def test_encoding_some_features_equals_the_full_encoding(make_sae: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    for architecture in ARCHITECTURES:
        _, source = make_sae(1, architecture=architecture)
        source.sae.cfg.apply_b_dec_to_input = True
        hidden = source.sae.b_dec.detach() * 2 + 8 * torch.randn(50, 128, generator=generator)
        full = source.encode(hidden)
        assert (full > 0).any()
        assert torch.allclose(encode_features(source, hidden, [3, 250, 3]), full[:, [3, 250, 3]], atol=1e-4)


def test_vector(small: LanguageModel, small_plain: Any) -> None:
    ids = small.token_ids(PROMPTS[0], prepend_bos=False)
    vector = np.random.default_rng(1).normal(size=128)
    for hook, layer in (
        ("blocks.1.hook_resid_post", 1),
        ("blocks.2.hook_resid_pre", 1),
        ("blocks.3.hook_resid_post", 3),
    ):
        result = activations.vector_activations(small, hook, vector.tolist(), [ids])[0]
        expected = plain_model.residuals(small_plain, ids, [layer])[layer] @ vector
        assert np.allclose(result.values, expected, rtol=1e-3, atol=1e-3)
        assert (result.max_position, result.ignored) == (int(np.argmax(expected)), [])
    embedded = small_plain.model.embed_tokens.weight[ids].detach().numpy() @ vector
    assert np.allclose(
        activations.vector_activations(small, "blocks.0.hook_resid_pre", vector.tolist(), [ids])[0].values,
        embedded,
        atol=1e-3,
    )


def test_vector_at_hooks_that_only_the_bridge_names(small: LanguageModel, small_plain: Any) -> None:
    """The last layer's attention and MLP outputs, heads and neurons, captured by hooks on plain modules."""
    ids = small.token_ids(PROMPTS[0], prepend_bos=True)
    block = small_plain.model.layers[2]
    captured: dict[str, torch.Tensor] = {}

    def into(name: str, module: torch.nn.Module, before: bool = False) -> Any:
        if before:
            return module.register_forward_pre_hook(lambda _m, args: captured.__setitem__(name, args[0][0]))
        first = lambda output: (output[0] if isinstance(output, tuple) else output)[0]  # noqa: E731
        return module.register_forward_hook(lambda _m, _a, output: captured.__setitem__(name, first(output)))

    handles = [
        into("hook_mlp_out", block.mlp),
        into("hook_attn_out", block.self_attn),
        into("mlp.hook_post", block.mlp.down_proj, before=True),
        into("attn.hook_z", block.self_attn.o_proj, before=True),
        into("hook_resid_mid", block.post_attention_layernorm, before=True),
    ]
    try:
        with torch.inference_mode():
            small_plain(torch.tensor([ids]))
    finally:
        for handle in handles:
            handle.remove()
    rng = np.random.default_rng(2)
    for name, hidden in captured.items():
        vector = rng.normal(size=hidden.shape[-1])
        result = activations.vector_activations(small, f"blocks.2.{name}", vector.tolist(), [ids])[0]
        assert np.allclose(result.values, hidden.numpy() @ vector, rtol=1e-3, atol=1e-3), name
    # the plain module is unchanged
    assert type(small.hf.model.layers[2]) is type(block)


def test_refused_requests(small: LanguageModel, make_sae: Any) -> None:
    _, source = make_sae(2)
    ids = small.token_ids("Alice was here", prepend_bos=True)
    with pytest.raises(InvalidRequestError, match=r"0 to 255.*256"):
        activations.feature_activations(small, source, [ids], 256, False)
    with pytest.raises(InvalidRequestError, match=f"position {len(ids)}.*0 to {len(ids) - 1}"):
        activations.top_features(small, [source], [ids], 5, sort_positions=[len(ids)])
    with pytest.raises(InvalidRequestError, match="position -1"):
        activations.top_features(small, [source], [ids], 5, sort_positions=[-1])
    with pytest.raises(InvalidRequestError, match=r"127 numbers.*have 128"):
        activations.vector_activations(small, "blocks.2.hook_resid_post", [0.0] * 127, [ids])
    with pytest.raises(InvalidRequestError, match=r"128 numbers.*have 341"):
        activations.vector_activations(small, "blocks.2.mlp.hook_post", [0.0] * 128, [ids])
    for hook in ("blocks.4.hook_resid_post", "blocks.99.mlp.hook_post"):
        with pytest.raises(InvalidRequestError, match="layers 0 to 3"):
            activations.vector_activations(small, hook, [0.0] * 128, [ids])
    for hook in ("nonsense", "blocks.1.hook_nonsense", "blocks.x.hook_resid_post", "h" * 5000):
        with pytest.raises(InvalidRequestError, match="Unknown hook") as refusal:
            activations.vector_activations(small, hook, [0.0] * 128, [ids])
        assert len(str(refusal.value)) < 400
    with pytest.raises(InvalidRequestError, match="one vector per position"):
        activations.vector_activations(small, "blocks.1.attn.hook_pattern", [0.0] * 128, [ids])
    with pytest.raises(InvalidRequestError, match="not run"):
        activations.vector_activations(small, "blocks.1.attn.hook_result", [0.0] * 128, [ids])


def test_a_source_of_another_model_is_refused(small: LanguageModel, demo_sources: list[tuple[Path, Source]]) -> None:
    ids = small.token_ids("Alice", prepend_bos=True)
    with pytest.raises(InvalidRequestError, match="layers 0 to 3"):
        activations.feature_activations(small, demo_sources[0][1], [ids], 0, False)


def test_numbers_that_are_not_finite_are_refused(small: LanguageModel, make_sae: Any) -> None:
    folder, _ = make_sae(1)
    source = load_source(folder, "1-wide")
    with torch.no_grad():
        source.sae.W_enc[:, 3] = torch.inf
    ids = small.token_ids("Alice was here", prepend_bos=True)
    for read in (
        lambda: activations.feature_activations(small, source, [ids], 3, True),
        lambda: activations.top_features(small, [source], [ids], 5),
        lambda: activations.top_features_by_token(small, source, [ids], 5),
        lambda: activations.vector_activations(small, "blocks.1.hook_resid_post", [3e38] * 128, [ids]),
    ):
        with pytest.raises(InvalidRequestError, match="not finite"):
            read()


def test_a_prompt_of_bos_alone_has_no_counted_position(small: LanguageModel, make_sae: Any) -> None:
    _, source = make_sae(1)
    ids = small.token_ids("", prepend_bos=True)
    result = activations.feature_activations(small, source, [ids], 4, ignore_bos=True)[0]
    assert (result.max_value, result.max_position, result.ignored) == (0.0, 0, [0])
    assert activations.top_features(small, [source], [ids], 5)[0].features == []
    assert activations.top_features(small, [source], [ids], 5, only=[4])[0].features[0].max_value == 0.0


@pytest.mark.parametrize(
    ("model_dtype", "sae_dtype"), [("bfloat16", "float32"), ("float32", "bfloat16"), ("float16", "float16")]
)
def test_narrow_dtypes(
    small_folder: Path, small: LanguageModel, make_sae: Any, model_dtype: str, sae_dtype: str
) -> None:
    narrow = load_model("small", str(small_folder), dtype=model_dtype)
    ids = small.token_ids(PROMPTS[0], prepend_bos=True)
    for architecture in ARCHITECTURES:
        folder, source = make_sae(2, architecture=architecture, dtype=sae_dtype)
        exact = load_source(folder, "2-exact")
        top = activations.top_features(small, [exact], [ids], 3)[0].features
        by_index = {
            top_feature.index: top_feature
            for top_feature in activations.top_features(narrow, [source], [ids], 30)[0].features
        }
        for top_feature in top:
            assert by_index[top_feature.index].max_value == pytest.approx(top_feature.max_value, rel=0.1)
            result = activations.feature_activations(narrow, source, [ids], top_feature.index, ignore_bos=True)[0]
            assert result.max_value == pytest.approx(top_feature.max_value, rel=0.1)
        assert activations.top_features_by_token(narrow, source, [ids], 3)[0].rows[4]
    hook = "blocks.1.hook_resid_post"
    vector = [0.5] * 128
    exactly = np.array(activations.vector_activations(small, hook, vector, [ids])[0].values)
    assert np.allclose(
        activations.vector_activations(narrow, hook, vector, [ids])[0].values, exactly, rtol=0.1, atol=1.0
    )
