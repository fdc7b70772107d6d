"""Hooks located in plain modules of several architectures capture what TransformerLens' bridge captures."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from memicos_engine.capture.capture import capture
from memicos_engine.errors import InvalidRequestError
from memicos_engine.model import hook_modules, hook_points
from memicos_engine.model.hook_modules import CAPTURE_ONLY_HOOKS, STEERABLE_HOOKS
from memicos_engine.model.language_model import LanguageModel, load_model_outline

PLACED = {
    "llama": {*STEERABLE_HOOKS, *CAPTURE_ONLY_HOOKS},
    "gpt2": {*STEERABLE_HOOKS, *CAPTURE_ONLY_HOOKS},
    "gpt_neox": {*STEERABLE_HOOKS, *CAPTURE_ONLY_HOOKS} - {"hook_resid_mid"},  # attention and MLP side by side
    "gemma2": {*STEERABLE_HOOKS, *CAPTURE_ONLY_HOOKS},  # what attention and MLP give is normed before it is added
    "qwen2": {*STEERABLE_HOOKS, *CAPTURE_ONLY_HOOKS},
    "granite": {"attn.hook_z", "mlp.hook_post", *CAPTURE_ONLY_HOOKS},  # ... is scaled before it is added
    "opt": {"attn.hook_z"},  # the rest of a block runs on (B x T, D)
}


@pytest.mark.parametrize("architecture", PLACED)
def test_captures_at_modules_equal_those_of_the_bridge(tiny: Any, architecture: str) -> None:
    """Two rows, one of them padded."""
    shared: LanguageModel = tiny(architecture)[0]
    model = replace(shared)  # another test may have created the bridge of the shared one
    assert {name.split(".", 2)[2] for name in model.hook_modules.by_name} == PLACED[architecture]
    names = [
        *model.hook_modules.by_name,
        *(f"blocks.{n}.hook_resid_{side}" for n in range(3) for side in ("pre", "post")),
    ]
    assert len(names) == 3 * (len(PLACED[architecture]) + 2)
    ids = torch.randint(4, 1000, (2, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    real = mask.bool()
    captured = capture(model, ids, mask, names)
    single = {name: capture(model, ids, mask, [name])[name] for name in names}
    assert "bridge" not in vars(model)
    _, bridge_values = model.bridge.run_with_cache(ids, names_filter=names, attention_mask=mask, return_type=None)
    for name in names:
        expected = bridge_values[name].flatten(2)
        assert torch.equal(captured[name], single[name]), name
        assert captured[name].shape == expected.shape, name
        assert (captured[name] - expected)[real].abs().max() <= 1e-5 * expected.abs().max(), name


def test_the_forward_pass_ends_at_the_deepest_hook(tiny: Any) -> None:
    model, _ = tiny("llama")
    assert model.hook_modules.by_name  # found by a run of the whole model, on first use
    ran: list[str] = []
    block = model.hf.get_submodule("model.layers.1")
    handles = [
        module.register_forward_pre_hook(lambda _module, _args, name=name: ran.append(name))
        for name, module in (("mlp", block.mlp), ("next", model.hf.get_submodule("model.layers.2")))
    ]
    try:
        ids = torch.tensor([[2, 5, 6]])
        capture(model, ids, None, ["blocks.1.hook_attn_out", "blocks.1.attn.hook_z", "blocks.0.hook_mlp_out"])
        assert ran == []
        capture(model, ids, None, ["blocks.1.hook_mlp_out", "blocks.1.hook_resid_mid"])
        assert ran == ["mlp"]
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("architecture", PLACED)
def test_steerable_hooks_are_the_located_ones_and_change_the_output(tiny: Any, architecture: str) -> None:
    model, _ = tiny(architecture)
    changeable = [name for name in STEERABLE_HOOKS if name in PLACED[architecture]]
    stream = ("blocks.N.hook_resid_pre", "blocks.N.hook_resid_post")
    assert hook_points.steerable_hooks(model) == (*stream, *(f"blocks.N.{name}" for name in changeable))
    widths = {"mlp.hook_post": 56, "attn.hook_z": 64 if architecture == "gemma2" else 32}
    for name in changeable:
        assert hook_points.steering_module(model, f"blocks.1.{name}")[1] == widths.get(name, 32)
    # where nothing is done to the MLP's output before it is added, both names are the same
    same = {"mlp.hook_out"} if "hook_mlp_out" in changeable and architecture != "gemma2" else set()
    for name in same:
        assert hook_points.steering_module(model, f"blocks.1.{name}") == hook_points.steering_module(
            model, "blocks.1.hook_mlp_out"
        )
    for name in {*STEERABLE_HOOKS, *CAPTURE_ONLY_HOOKS} - set(changeable) - same:
        full = f"blocks.1.{name}"
        reason = model.hook_modules.unavailable.get(full)
        with pytest.raises(
            InvalidRequestError, match=f"'{full}' cannot be steered" + (rf" \({reason}\)" if reason else ";")
        ):
            hook_points.steering_module(model, full)


def test_hooks_of_some_layers_only_are_listed_by_layer(tiny: Any) -> None:
    model, _ = tiny("qwen2")
    modules = model.hook_modules.by_name
    removed_module = modules.pop("blocks.1.hook_mlp_out")
    try:
        assert hook_points.steerable_hooks(model)[-4:] == (
            "blocks.0.hook_mlp_out",
            "blocks.2.hook_mlp_out",
            "blocks.N.attn.hook_z",
            "blocks.N.mlp.hook_post",
        )
    finally:
        modules["blocks.1.hook_mlp_out"] = removed_module


@pytest.mark.parametrize(
    ("architecture", "name", "reason"),
    [
        ("gpt_neox", "hook_resid_mid", "no module's input or output"),
        ("granite", "hook_attn_out", "no module's input or output"),
        ("granite", "hook_resid_mid", "not what this model adds"),
        ("opt", "hook_mlp_out", "one vector per position"),
        ("opt", "hook_attn_out", "not what this model adds"),
    ],
)
def test_the_reason_why_a_hook_has_no_module(tiny: Any, architecture: str, name: str, reason: str) -> None:
    model, _ = tiny(architecture)
    assert reason in model.hook_modules.unavailable[f"blocks.2.{name}"]
    assert reason in hook_points.unsteerable_hooks(model)[f"blocks.N.{name}"]
    assert hook_points.unsteerable_hooks(tiny("llama")[0]) == {}


def test_hooks_without_a_module_are_captured_by_the_bridge(tiny: Any) -> None:
    """Granite: attention adds its output times the multiplier."""
    model, hf = tiny("granite")
    captured: list[torch.Tensor] = []
    handle = hf.model.layers[1].self_attn.register_forward_hook(lambda _m, _a, output: captured.append(output[0]))
    try:
        hf(torch.tensor([[2, 5, 6, 7]]))
    finally:
        handle.remove()
    name = "blocks.1.hook_attn_out"
    hook_points.check_capturable(model, name)
    by_engine = capture(model, torch.tensor([[2, 5, 6, 7]]), None, [name, "blocks.1.hook_resid_post"])[name]
    assert torch.allclose(by_engine, 0.3 * captured[0], atol=1e-5)


def test_an_architecture_that_transformerlens_does_not_know(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_config: Any) -> str:
        raise ValueError("not among these: …")

    model, _ = tiny("llama")
    monkeypatch.setattr(hook_modules, "determine_architecture_from_hf_config", unknown)
    modules = hook_modules.find_hook_modules(model.hf, model.blocks, [2, 5])
    assert modules.by_name == {} and set(modules.unavailable.values()) == {
        "TransformerLens does not know LlamaForCausalLM"
    }


@pytest.mark.parametrize("architecture", PLACED)
def test_a_model_without_weights_has_the_same_hooks(tiny: Any, architecture: str) -> None:
    """All hooks except those whose sums can only be checked with weights."""
    model: LanguageModel = tiny(architecture)[0]
    without = load_model_outline(architecture, model.location)
    facts = ("n_layers", "d_model", "d_vocab", "max_context", "bos_token_id", "has_chat_template")
    assert all(getattr(without, name) == getattr(model, name) for name in facts)
    count = sum(parameter.numel() for parameter in without.hf.parameters())
    assert count == sum(parameter.numel() for parameter in model.hf.parameters())
    widths = {name: width for name, (_, width) in model.hook_modules.by_name.items()}
    foreseen = {name: width for name, (_, width) in without.hook_modules.by_name.items()}
    unseen = set(foreseen) - set(widths)
    assert foreseen == widths | dict.fromkeys(unseen, model.d_model)
    assert {model.hook_modules.unavailable[name] for name in unseen} <= {
        "it is not what this model adds to its residual stream"
    }
    assert bool(unseen) == (architecture in ("granite", "opt"))


def test_the_bridge_gives_no_bos_to_a_model_that_has_none(tiny: Any) -> None:
    model: LanguageModel = tiny("qwen2")[0]
    assert "hook_embed" in model.bridge.hook_dict
    assert model.bos_token_id is None and len(model.token_ids("a", prepend_bos=True)) == 1
