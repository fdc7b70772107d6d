"""Where in the plain transformers module the activations of TransformerLens' hook points are.

TransformerLens' adapter of an architecture says which submodule has which part, and which module's input or output a
hook point is. A run on a few tokens then shows whether that is so in the loaded module: every activation is one vector
a position, and what a block's parts give sums up to its output. What does not is not placed.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils.hooks import RemovableHandle
from transformer_lens.factories.architecture_adapter_factory import ArchitectureAdapterFactory
from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent
from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_config_from_hf
from transformer_lens.model_bridge.sources.transformers import determine_architecture_from_hf_config
from transformers import PreTrainedModel

ActivationCallback = Callable[[torch.Tensor], torch.Tensor | None]
"""Sees activations (B, T, D); what it returns, unless None, takes their place."""

RESIDUAL_HOOKS = ("hook_resid_pre", "hook_resid_post")
"""The stream between blocks: the input and the output of a block in every architecture."""

STEERABLE_HOOKS = ("hook_resid_mid", "hook_attn_out", "hook_mlp_out", "attn.hook_z", "mlp.hook_post")
"""Others that can be steered where they are placed."""

CAPTURE_ONLY_HOOKS = ("mlp.hook_in",)
"""Others that are only read."""


@dataclass(frozen=True)
class HookModule:
    """The input or the output of a module.

    `carrier` is the block whose residual connection leads the same activations past the module: a change is added to
    its output as well.
    """

    module: torch.nn.Module
    side: Literal["input", "output"]
    residual_block: torch.nn.Module | None = None

    def add_hook(self, visit: ActivationCallback) -> list[RemovableHandle]:
        """Call `visit` whenever the module runs. The caller removes the handles."""
        if self.residual_block is None:
            return [_add_hook(self.module, self.side, visit)]
        changes: list[torch.Tensor] = []

        def changed(hidden: torch.Tensor) -> torch.Tensor | None:
            new = visit(hidden)
            if new is not None:
                changes.append(new - hidden)
            return new

        def carried(hidden: torch.Tensor) -> torch.Tensor | None:
            return hidden + changes.pop() if changes else None

        # first of the block's own hooks: what steers its output comes after
        after = self.residual_block.register_forward_hook(_forward_hook(carried), prepend=True)
        return [_add_hook(self.module, self.side, changed), after]


@dataclass(frozen=True)
class HookModules:
    """`found`: place and width by name, `blocks.N.…`; `missing`: why one of CHANGEABLE or READABLE has no place."""

    by_name: dict[str, tuple[HookModule, int]]
    unavailable: dict[str, str]


def residual_stream(blocks: torch.nn.ModuleList, layer: int) -> HookModule:
    """The residual stream after block `layer`; -1 means the embeddings."""
    return HookModule(blocks[0], "input") if layer < 0 else HookModule(blocks[layer], "output")


def find_hook_modules(hf: PreTrainedModel, blocks: torch.nn.ModuleList, ids: Sequence[int]) -> HookModules:
    """Places of CHANGEABLE and READABLE in every block, checked by a run on `ids`.

    Of a model without weights (`model.outline`) the run shows shapes alone, and sums are not compared.
    """
    names = (*STEERABLE_HOOKS, *CAPTURE_ONLY_HOOKS)
    template = _block_component(hf)
    if isinstance(template, str):
        return HookModules({}, {f"blocks.{layer}.{name}": template for layer in range(len(blocks)) for name in names})
    missing: dict[str, str] = {}
    candidates: dict[str, HookModule] = {}
    for layer, block in enumerate(blocks):
        for name in names:
            place = _hook_module(template, block, name)
            if place is None:
                missing[f"blocks.{layer}.{name}"] = "it is no module's input or output in this architecture"
            else:
                candidates[f"blocks.{layer}.{name}"] = place
    seen = _capture_at(
        hf, candidates | {f"blocks.{layer}": residual_stream(blocks, layer) for layer in range(-1, len(blocks))}, ids
    )
    for name in candidates:
        if name not in seen:
            missing[name] = "the model does not run it as one vector a position"
    for layer in () if _fake_tensor_mode(hf) else range(len(blocks)):
        at = {name: seen[full] for name in names if (full := f"blocks.{layer}.{name}") in seen}
        for name in _inconsistent_hooks(at, seen.get(f"blocks.{layer - 1}"), seen.get(f"blocks.{layer}")):
            missing[f"blocks.{layer}.{name}"] = "it is not what this model adds to its residual stream"
    found = {name: (place, seen[name].shape[-1]) for name, place in candidates.items() if name not in missing}
    return HookModules(found, missing)


def unsupported_reason(hf: PreTrainedModel) -> str | None:
    """Why TransformerLens has nothing to say of this architecture; None where it has."""
    found = _block_component(hf)
    return found if isinstance(found, str) else None


def _block_component(hf: PreTrainedModel) -> GeneralizedComponent | str:
    """What TransformerLens says of a block of this architecture, or why it says nothing."""
    try:
        architecture = determine_architecture_from_hf_config(hf.config)
        config = build_bridge_config_from_hf(hf.config, architecture, architecture, hf.dtype)
        adapter = ArchitectureAdapterFactory.select_architecture_adapter(config)
        return adapter.get_component_mapping()["blocks"]
    except ImportError as error:  # of a library that its adapter needs
        return str(error)
    except (ValueError, KeyError):
        return f"TransformerLens does not know {type(hf).__name__}"


def _hook_module(template: GeneralizedComponent, block: torch.nn.Module, name: str) -> HookModule | None:
    resolved = _resolve_hook(template, name)
    if resolved is None:
        return None
    path, side = resolved
    try:
        module = block.get_submodule(path)
    except AttributeError:
        return None
    if name in ("attn.hook_z", "mlp.hook_post") and side != "input":
        return None  # "neurons" of a mixture of experts are its output
    return HookModule(module, side, block if name == "hook_resid_mid" else None)


def _resolve_hook(component: GeneralizedComponent, name: str) -> tuple[str, Literal["input", "output"]] | None:
    """Path of the module from `component`'s own, and its side, of the hook point `name` of `component`."""
    *owners, hook = name.split(".")
    path: list[str] = []
    for owner in owners:
        if owner not in component.submodules:
            return None
        component = component.submodules[owner]
        if component.name:
            path.append(component.name)
    if hook in ("hook_in", "hook_out"):
        # a part without a module of its own would be the block
        return (".".join(path), "input" if hook == "hook_in" else "output") if component.name else None
    alias = component.hook_aliases.get(hook)
    found = _resolve_hook(component, alias) if isinstance(alias, str) else None
    return None if found is None else (".".join([*path, found[0]]), found[1])


@torch.inference_mode()
def _capture_at(hf: PreTrainedModel, places: dict[str, HookModule], ids: Sequence[int]) -> dict[str, torch.Tensor]:
    """Activations (1, T, D) at those `places` that have one vector a position."""
    seen: dict[str, torch.Tensor] = {}
    handles = []
    try:
        for name, place in places.items():
            handles.append(_add_hook(place.module, place.side, lambda hidden, n=name: seen.__setitem__(n, hidden)))
        with _fake_tensor_mode(hf) or nullcontext():
            hf.base_model(input_ids=torch.tensor([list(ids)], device=hf.device), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return {name: hidden for name, hidden in seen.items() if hidden.shape[:-1] == (1, len(ids))}


def _fake_tensor_mode(hf: PreTrainedModel) -> FakeTensorMode | None:
    """What a model whose tensors have shapes alone is run in."""
    first = next(hf.parameters())
    return first.fake_mode if isinstance(first, FakeTensor) else None


def _inconsistent_hooks(
    at: dict[str, torch.Tensor], before: torch.Tensor | None, after: torch.Tensor | None
) -> set[str]:
    """Names of a block's parts that do not sum up to the stream: before + attention = mid, mid + MLP = after."""
    attention, mid, mlp = (at.get(name) for name in ("hook_attn_out", "hook_resid_mid", "hook_mlp_out"))
    if mid is None:  # attention and MLP side by side
        first = second = _is_sum([before, attention, mlp], after)
    else:
        first, second = _is_sum([before, attention], mid), _is_sum([mid, mlp], after)
    holds = {"hook_attn_out": first, "hook_resid_mid": first and second, "hook_mlp_out": second}
    return {name for name, one in holds.items() if name in at and not one}


def _is_sum(terms: list[torch.Tensor | None], total: torch.Tensor | None) -> bool:
    """Whether `terms` are all there and sum up to `total`, but for a few roundings of their dtype."""
    tensors = [one for one in (*terms, total) if one is not None]
    if total is None or len(tensors) <= len(terms) or any(one.shape != total.shape for one in tensors):
        return False
    exact = torch.stack([one.cpu().double() for one in tensors])  # some devices have no float64
    room = 4 * torch.finfo(total.dtype).eps * exact.abs().sum(0)
    return bool(((exact[:-1].sum(0) - exact[-1]).abs() <= room).all())


def _add_hook(module: torch.nn.Module, side: str, visit: ActivationCallback) -> RemovableHandle:
    if side == "input":
        return module.register_forward_pre_hook(_pre_hook(visit), with_kwargs=True)
    return module.register_forward_hook(_forward_hook(visit))


def _pre_hook(visit: ActivationCallback) -> Callable[..., Any]:
    def hook(_module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        new = visit(args[0] if args else kwargs["hidden_states"])
        if new is None:
            return None
        return ((new, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": new})

    return hook


def _forward_hook(visit: ActivationCallback) -> Callable[..., Any]:
    def hook(_module: torch.nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, torch.Tensor):
            return visit(output)
        new = visit(output[0])  # blocks and attentions of some architectures give a tuple
        return None if new is None else (new, *output[1:])

    return hook
