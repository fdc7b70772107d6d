"""The residual norm of a source, against transformers' own hidden states."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from memicos_engine.model.language_model import LanguageModel, load_model
from memicos_engine.sources.recipe import SourceRecipe
from memicos_engine.sources.source import Source
from memicos_pipeline.residual_norm import SAMPLE, residual_norm
from memicos_testing.models.small_model import small_model
from transformers import AutoModelForCausalLM


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("small") / "model")


@pytest.fixture(scope="module")
def model(folder: Path) -> LanguageModel:
    return load_model("small", str(folder))


@pytest.fixture(scope="module")
def source(model: LanguageModel) -> Source:
    recipe = SourceRecipe("blocks.1.hook_resid_post", True, 16, (0,))
    width = model.d_model
    return Source(id="1-a", recipe=recipe, layer=1, d_in=width, d_sae=8, d_out=width, architecture="standard")


def test_it_is_the_median_over_the_counted_tokens_of_a_sample(
    folder: Path, model: LanguageModel, source: Source
) -> None:
    ids = np.random.default_rng(0).integers(4, 90, (2 * SAMPLE, 6)).astype(np.int32)
    assert model.bos_token_id is not None
    ids[:, 0] = model.bos_token_id
    chosen = ids[np.unique(np.linspace(0, len(ids) - 1, SAMPLE).astype(int))]
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        states = plain(torch.from_numpy(chosen.astype(np.int64)), output_hidden_states=True).hidden_states[2]
    norms = states[:, 1:].double().norm(dim=-1)
    measured = residual_norm(model, source, ids)
    assert measured == pytest.approx(norms.flatten().median().item(), rel=1e-5)
    # tokens above the norm cut do not count
    cut = norms.median().item()
    below = replace(source, recipe=replace(source.recipe, norm_cut=cut))
    measured = residual_norm(model, below, ids)
    assert measured is not None
    assert measured == pytest.approx(norms[norms <= cut * (1 + 1e-6)].median().item(), rel=1e-3)


def test_a_source_that_writes_elsewhere_has_none(model: LanguageModel, source: Source) -> None:
    recipe = replace(source.recipe, hook_name_out="blocks.1.hook_mlp_out")
    transcoder = replace(source, recipe=recipe)
    assert transcoder.steer_hook != transcoder.hook_name
    ids = np.full((2, 4), 5, dtype=np.int32)
    assert residual_norm(model, transcoder, ids) is None
