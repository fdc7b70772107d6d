"""Direct feature attribution of sources at attention heads, against plain transformers with numpy loops."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from memicos_engine.capture import activations, attribution
from memicos_engine.model.language_model import LanguageModel, load_model
from memicos_engine.sources.source import Source
from memicos_engine.sources.source_loading import load_source
from memicos_testing.models import plain_model
from memicos_testing.models.small_hub import GPT2, published
from memicos_testing.models.small_model import random_sae

TEXTS = ("The Queen turned angrily away from him, and said to the Knave", "Alice", "Turn them over! And she ran.")
LAYER = 1


class Case:
    """A model, the same by plain transformers, and a source of random weights at its heads."""

    def __init__(self, name: str, model: LanguageModel, hf: Any, folder: Path) -> None:
        d_in = plain_model.attention(hf, [1, 2], LAYER)[2].shape[1]
        self.model, self.hf = model, hf
        self.folder = random_sae(folder / name, f"blocks.{LAYER}.attn.hook_z", d_in, 48)
        self.source: Source = load_source(self.folder, f"{LAYER}-{name}")
        self.prompts = [model.token_ids(text, prepend_bos=True) for text in TEXTS]


@pytest.fixture(scope="module")
def cases(
    small: LanguageModel,
    small_plain: Any,
    demo: LanguageModel,
    demo_plain: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Case]:
    folder = tmp_path_factory.mktemp("heads")
    gpt2 = published(folder / "hub") / GPT2
    return {
        "glassllm": Case("glassllm", small, small_plain, folder),
        "smollm2": Case("smollm2", demo, demo_plain, folder),
        "gpt2": Case("gpt2", load_model("gpt2", str(gpt2)), plain_model.load(gpt2), folder),
    }


def close(actual: Any, expected: Any) -> bool:
    return np.allclose(actual, expected, rtol=1e-3, atol=1e-3 * max(1.0, float(np.abs(expected).max())))


@pytest.mark.parametrize(("name", "groups"), [("glassllm", 2), ("smollm2", 3), ("gpt2", 1)])
def test_attribution_is_pattern_times_value_per_head(cases: dict[str, Case], name: str, groups: int) -> None:
    case = cases[name]
    for index in (0, 13, 47):
        results = activations.feature_activations(case.model, case.source, case.prompts, index, ignore_bos=True)
        for ids, prompt_result in zip(case.prompts, results, strict=True):
            pattern, values, heads = plain_model.attention(case.hf, ids, LAYER)
            assert pattern.shape[0] == groups * values.shape[1]
            assert close(prompt_result.values, plain_model.encode(case.folder, heads)[0][:, index])
            assert prompt_result.dfa is not None and prompt_result.dfa.target == prompt_result.max_position
            expected = plain_model.attributed(case.folder, pattern, values, index, prompt_result.max_position)
            assert close(prompt_result.dfa.values, expected)
            assert prompt_result.dfa.max_value == max(prompt_result.dfa.values)
            # later positions contribute nothing, and all parts sum to the feature's pre-activation
            assert not any(prompt_result.dfa.values[prompt_result.max_position + 1 :])
            column = case.source.encoder_column(index).double().numpy()
            assert close(sum(prompt_result.dfa.values), heads[prompt_result.max_position] @ column)


@pytest.mark.parametrize("name", ["glassllm", "smollm2", "gpt2"])
def test_attribution_of_the_strongest_features(cases: dict[str, Case], name: str) -> None:
    case = cases[name]
    for ids, result in zip(
        case.prompts, activations.top_features(case.model, [case.source], case.prompts, 5), strict=True
    ):
        pattern, values, _ = plain_model.attention(case.hf, ids, LAYER)
        for top_feature in result.features:
            assert top_feature.dfa is not None and top_feature.dfa.target == top_feature.max_position
            assert close(
                top_feature.dfa.values,
                plain_model.attributed(case.folder, pattern, values, top_feature.index, top_feature.max_position),
            )


def test_sources_without_attention_have_no_attribution_and_no_extra_capture(
    cases: dict[str, Case], make_sae: Any
) -> None:
    case = cases["glassllm"]
    _, residual = make_sae(2, 64)
    assert not attribution.reads_attention_heads(residual) and attribution.attribution_hooks(case.model, residual) == ()
    assert activations.feature_activations(case.model, residual, case.prompts, 3, ignore_bos=True)[0].dfa is None
    ranked = activations.top_features(case.model, [residual, case.source], case.prompts, 200)[0].features
    assert {top_feature.source: top_feature.dfa is None for top_feature in ranked} == {
        residual.id: True,
        case.source.id: False,
    }
