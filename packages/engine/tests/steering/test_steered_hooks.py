"""Steering within blocks, in several architectures: logits against plain transformers with hooks on its modules."""

from pathlib import Path
from typing import Any

import pytest
import torch
from memicos_engine.generation.decoder import new_decoder
from memicos_engine.generation.generation import Generation, Row, Sampling
from memicos_engine.generation.steering import METHODS, SteeringVector
from memicos_engine.model.hook_modules import STEERABLE_HOOKS
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.sources.source_loading import load_source
from memicos_testing.models import plain_model
from memicos_testing.models.steered import ANY_BYTES, INDEPENDENT, TOLERANCE, check, logits_now, logits_of
from sae_lens import SAE
from safetensors.torch import load_file

MODULES = {
    "llama": {
        "hook_attn_out": ("output", "model.layers.{}.self_attn"),
        "hook_mlp_out": ("output", "model.layers.{}.mlp"),
        "attn.hook_z": ("input", "model.layers.{}.self_attn.o_proj"),
        "mlp.hook_post": ("input", "model.layers.{}.mlp.down_proj"),
    },
    "gpt2": {
        "hook_attn_out": ("output", "transformer.h.{}.attn"),
        "hook_mlp_out": ("output", "transformer.h.{}.mlp"),
        "attn.hook_z": ("input", "transformer.h.{}.attn.c_proj"),
        "mlp.hook_post": ("input", "transformer.h.{}.mlp.c_proj"),
    },
    "gpt_neox": {
        "hook_attn_out": ("output", "gpt_neox.layers.{}.attention"),
        "hook_mlp_out": ("output", "gpt_neox.layers.{}.mlp"),
        "attn.hook_z": ("input", "gpt_neox.layers.{}.attention.dense"),
        "mlp.hook_post": ("input", "gpt_neox.layers.{}.mlp.dense_4h_to_h"),
    },
    "gemma2": {
        "hook_attn_out": ("output", "model.layers.{}.post_attention_layernorm"),
        "hook_mlp_out": ("output", "model.layers.{}.post_feedforward_layernorm"),
        "attn.hook_z": ("input", "model.layers.{}.self_attn.o_proj"),
        "mlp.hook_post": ("input", "model.layers.{}.mlp.down_proj"),
    },
    "granite": {
        "attn.hook_z": ("input", "model.layers.{}.self_attn.o_proj"),
        "mlp.hook_post": ("input", "model.layers.{}.mlp.down_proj"),
    },
}
MODULES["qwen2"] = MODULES["llama"]
LAYERS = {"gpt2": "transformer.h.{}", "gpt_neox": "gpt_neox.layers.{}"}
STRENGTHS = {"SIMPLE_ADDITIVE": 3.0, "ORTHOGONAL_DECOMP": -1.5, "PROJECTION_CAP": -1.0}

Changes = dict[plain_model.HookSite, plain_model.Change]


def changes_at(architecture: str, layer: int, name: str, change: plain_model.Change) -> Changes:
    """Expected activations by hook name. The stream between attention and MLP is changed where attention is added."""
    if name == "hook_resid_mid":
        before: list[torch.Tensor] = []

        def remember(hidden: torch.Tensor) -> torch.Tensor:
            before[:] = [hidden]
            return hidden

        side, path = MODULES[architecture]["hook_attn_out"]
        return {
            ("output", LAYERS.get(architecture, "model.layers.{}").format(layer - 1)): remember,
            (side, path.format(layer)): lambda attention: change(before[0] + attention) - before[0],
        }
    side, path = MODULES[architecture][name]
    return {(side, path.format(layer)): change}


@pytest.mark.parametrize("architecture", MODULES)
def test_every_steerable_hook_by_every_method(tiny: Any, architecture: str) -> None:
    """Rows of one batch: each hook by each method, in the middle layer, and one unsteered row."""
    model, hf = tiny(architecture)
    ids = model.token_ids("The Queen turned angrily away from him", prepend_bos=True)
    generator = torch.Generator().manual_seed(1)
    rows, changes = [Row(ids)], [{}]
    for name in STEERABLE_HOOKS:
        full = f"blocks.1.{name}"
        if full not in model.hook_modules.by_name:
            continue
        for method in METHODS:
            vector = torch.randn(model.hook_modules.by_name[full][1], generator=generator)
            rows.append(Row(ids, [SteeringVector(full, vector, STRENGTHS[method], method)]))
            changes.append(changes_at(architecture, 1, name, INDEPENDENT[method](vector, STRENGTHS[method])))
    check(model, hf, rows, changes, 5)
    _, actual, _ = logits_of(model, rows, 1)
    assert ((actual[1:] - actual[0]).abs().amax((1, 2)) > 5 * TOLERANCE).all()


def test_several_hooks_of_one_block_at_once(tiny: Any) -> None:
    """All hooks of a block and its neighbours, several changes at one hook, applied in sequence."""
    model, hf = tiny("llama")
    ids = model.token_ids("The Queen turned angrily away from him", prepend_bos=True)
    generator = torch.Generator().manual_seed(2)
    steers: list[SteeringVector] = []
    changes: Changes = {2: plain_model.added(torch.ones(32), 0.5), 0: plain_model.scaled(torch.ones(32), 2)}
    for i, name in enumerate(n for n in STEERABLE_HOOKS if n != "hook_resid_mid"):
        first, second = torch.randn(2, model.hook_modules.by_name[f"blocks.1.{name}"][1], generator=generator)
        steers += [
            SteeringVector(f"blocks.1.{name}", first, 2),
            SteeringVector(f"blocks.1.{name}", second, i, "ORTHOGONAL_DECOMP"),
        ]
        changes |= changes_at(
            "llama", 1, name, plain_model.in_turn(plain_model.added(first, 2), plain_model.scaled(second, i))
        )
    middle, after = torch.randn(2, 32, generator=generator)
    steers += [
        SteeringVector("blocks.1.hook_resid_post", after, 0.1, "PROJECTION_CAP"),
        SteeringVector("blocks.1.hook_resid_mid", middle, 4),
        SteeringVector("blocks.2.hook_resid_pre", after, 1),
        SteeringVector("blocks.2.hook_resid_post", torch.ones(32), 0.5),
        SteeringVector("blocks.1.hook_resid_pre", torch.ones(32), 2, "ORTHOGONAL_DECOMP"),
    ]
    # adding to the stream after attention equals adding to the output of attention
    attention = ("output", "model.layers.1.self_attn")
    changes[attention] = plain_model.in_turn(changes[attention], plain_model.added(middle, 4))
    changes[1] = plain_model.in_turn(plain_model.capped(after, 0.1), plain_model.added(after, 1))
    check(model, hf, [Row(ids, steers), Row(ids)], [changes, {}], 5)


@pytest.mark.parametrize("name", STEERABLE_HOOKS)
def test_a_vector_and_its_negative_cancel(small: LanguageModel, name: str) -> None:
    ids = small.token_ids("Alice was beginning", prepend_bos=True)
    full = f"blocks.2.{name}"
    vector = torch.randn(small.hook_modules.by_name[full][1], generator=torch.Generator().manual_seed(0))
    steers = [SteeringVector(full, vector, 20), SteeringVector(full, -vector, 20)]
    unsteered, both_steered, first_steered = (
        logits_of(small, [Row(ids, steering)], 5)[1] for steering in ([], steers, steers[:1])
    )
    assert torch.equal(both_steered, unsteered) and (first_steered - unsteered).abs().max() > 0.1


def test_on_a_real_model(demo: LanguageModel, demo_plain: Any) -> None:
    """Heads, neurons and the MLP's output of SmolLM2, at a strength about that of the activations."""
    ids = demo.token_ids("The capital of France is", prepend_bos=True)
    generator = torch.Generator().manual_seed(3)
    rows, changes = [Row(ids)], [{}]
    for name, method in zip(STEERABLE_HOOKS, METHODS + METHODS, strict=False):
        full = f"blocks.12.{name}"
        vector = torch.randn(demo.hook_modules.by_name[full][1], generator=generator)
        rows.append(Row(ids, [SteeringVector(full, vector, STRENGTHS[method], method)]))
        changes.append(changes_at("llama", 12, name, INDEPENDENT[method](vector, STRENGTHS[method])))
    check(demo, demo_plain, rows, changes, 4)


def test_masked_positions_are_not_steered_and_generated_ones_are(tiny: Any) -> None:
    """In the shorter, padded row of a batch; GPT-2 has learned positions."""
    model, hf = tiny("gpt2")
    ids = model.token_ids("The Queen turned", prepend_bos=True)
    other_ids = model.token_ids("Alice was beginning to get very tired", prepend_bos=True)
    vector = torch.randn(32, generator=torch.Generator().manual_seed(3))
    mask = [i not in (0, 2) for i in range(len(ids))]
    for name in ("hook_resid_mid", "hook_mlp_out"):
        steer = SteeringVector(f"blocks.1.{name}", vector, 3)
        writing = Generation(model, [Row(ids, [steer], mask), Row(other_ids)], 5, Sampling(), ANY_BYTES)
        captured = []
        decoder = new_decoder(model, writing)
        while not writing.done:
            decoder.advance()
            captured.append(logits_now(writing)[0])
        tokens = writing.ids[0][:-1]
        steered_positions = torch.tensor([*mask, *[True] * len(tokens)])[None, :, None]
        spared = changes_at(
            "gpt2", 1, name, lambda hidden, kept=steered_positions: torch.where(kept, hidden + 3 * vector, hidden)
        )
        expected = plain_model.logits(hf, [*ids, *tokens], spared)[len(ids) - 1 :]
        assert (torch.stack(captured)[: len(expected)] - expected).abs().max() <= TOLERANCE
        everywhere = plain_model.logits(hf, [*ids, *tokens], changes_at("gpt2", 1, name, plain_model.added(vector, 3)))
        assert (everywhere[len(ids) - 1 :] - expected).abs().max() > 0.01


def test_a_transcoder_and_a_source_of_heads(small: LanguageModel, small_plain: Any, tmp_path: Path) -> None:
    """Random weights in SAELens' format. A transcoder steers its output, a source of heads the flat heads."""
    ids = small.token_ids("Alice was beginning", prepend_bos=True)
    cases = [
        ("transcoder", "blocks.1.mlp.hook_in", "blocks.1.hook_mlp_out"),
        ("standard", "blocks.2.attn.hook_z", None),
    ]
    rows, changes = [], []
    for architecture, input_hook, writes in cases:
        folder = tmp_path / architecture
        config = {"architecture": architecture, "d_in": 128, "d_sae": 40, "dtype": "float32", "device": "cpu"}
        metadata = {"hook_name": input_hook, "hook_name_out": writes, "prepend_bos": True, "context_size": 128}
        extra = {"d_out": 128} if writes else {}
        sae = SAE.from_dict({**config, **extra, "apply_b_dec_to_input": False, "metadata": metadata})
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for parameter in sae.parameters():
                parameter.normal_(generator=generator)
        sae.save_model(folder)
        source = load_source(folder, f"1-{architecture}")
        assert (source.hook_name, source.steer_hook) == (input_hook, writes or input_hook)
        row = load_file(folder / "sae_weights.safetensors")["W_dec"][7]
        unit = row / row.norm()
        assert torch.allclose(source.decoder_row(7), unit, atol=1e-6)
        rows.append(Row(ids, [SteeringVector(source.steer_hook, source.decoder_row(7), 20)]))
        name, layer = source.steer_hook.split(".", 2)[2], int(source.steer_hook.split(".")[1])
        changes.append(changes_at("llama", layer, name, plain_model.added(unit, 20)))
    check(small, small_plain, rows, changes, 5)
