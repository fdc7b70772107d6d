"""Direct feature attribution of the examples of a source at the attention heads, against plain transformers."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from memicos_dataset.read import read_manifest, verify
from memicos_pipeline.config import GenerateConfig
from memicos_pipeline.generate import generate
from memicos_testing.models.small_model import random_sae, small_model, small_sae
from memicos_testing.models.tiny_generate import tiny_config
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

SIZE, COUNT, WIDTH = 16, 10, 12
LAYER = 1


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> GenerateConfig:
    """The configuration of a dataset of a source at the attention heads."""
    folder = tmp_path_factory.mktemp("attributions")
    small_model(folder / "model")
    hf = AutoModelForCausalLM.from_pretrained(folder / "model")
    random_sae(folder / "saes" / "1-res", f"blocks.{LAYER}.attn.hook_z", hf.config.hidden_size, WIDTH)
    config = tiny_config(folder, ["1-res"], SIZE, COUNT)
    config.source_set.sources, config.source_set.folder = [], None
    config.source_set.saes = [f"path:{folder / 'saes' / '1-res'}"]
    config.execution.threads = 1
    generate(config, lambda line: None)
    return config


def test_attributions_are_those_of_plain_transformers(config: GenerateConfig) -> None:
    manifest = read_manifest(config.out)
    verify(config.out, manifest)
    ids = [row["token_ids"] for row in pq.read_table(config.out / "corpus" / "contexts-00000.parquet").to_pylist()]
    hf: Any = AutoModelForCausalLM.from_pretrained(
        config.model.folder, attn_implementation="eager", dtype=torch.float32
    )
    block = hf.model.layers[LAYER]
    weights = load_file(Path(config.source_set.saes[0].removeprefix("path:")) / "sae_weights.safetensors")
    with torch.inference_mode():
        result = hf.model(torch.tensor(ids), output_hidden_states=True, output_attentions=True)
        patterns = result.attentions[LAYER].numpy()
        values = block.self_attn.v_proj(block.input_layernorm(result.hidden_states[LAYER])).numpy()
    heads = patterns.shape[1]
    values = values.reshape(*values.shape[:2], hf.config.num_key_value_heads, -1)
    values = values.repeat(heads // values.shape[2], axis=2)
    columns = weights["W_enc"].float().numpy().reshape(heads, -1, WIDTH)
    (source,) = manifest.source_set.sources
    checked = 0
    for row in pq.read_table(config.out / source.features[0].path).to_pylist():
        column, bias = columns[..., row["index"]], float(weights["b_enc"][row["index"]])
        for number, context in enumerate(row["example_contexts"]):
            target, found = row["example_dfa_positions"][number], row["example_dfa_values"][number]
            assert target == row["value_positions"][number][int(np.argmax(row["values"][number]))]
            by_head = np.einsum("hs,shd,hd->s", patterns[context][:, target], values[context], column)
            assert np.allclose(found, by_head, rtol=1e-3, atol=1e-4)
            # the parts add up to the value
            assert sum(found) + bias == pytest.approx(max(row["values"][number]), rel=1e-3, abs=1e-3)
            assert not np.any(found[target + 1 :])
            checked += 1
    assert checked > WIDTH


def test_blocks_of_features_change_nothing(config: GenerateConfig, tmp_path: Path) -> None:
    again = config.model_copy(update={"out": tmp_path / "out"})
    with pytest.MonkeyPatch.context() as patch:
        # a block for each feature
        patch.setattr("memicos_pipeline.dashboards.example_attributions._BYTES_OF_ATTRIBUTION", 2**40)
        generate(again, lambda line: None)
    assert [entry.sha256 for entry in read_manifest(again.out).files()] == [
        entry.sha256 for entry in read_manifest(config.out).files()
    ]


def test_other_sources_have_no_such_columns(config: GenerateConfig, tmp_path: Path) -> None:
    small_sae(tmp_path / "1-res", LAYER, WIDTH)
    again = config.model_copy(deep=True, update={"out": tmp_path / "out"})
    again.source_set.saes = [f"path:{tmp_path / '1-res'}"]
    generate(again, lambda line: None)
    (source,) = read_manifest(again.out).source_set.sources
    assert not {"example_dfa_values", "example_dfa_positions"} & set(
        pq.read_schema(again.out / source.features[0].path).names
    )
