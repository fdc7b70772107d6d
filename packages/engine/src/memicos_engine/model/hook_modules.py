"""Map TransformerLens' hook points to inputs and outputs of modules of the plain transformers model.

TransformerLens' adapter of an architecture names the submodule of each component, and the module whose input or output
each hook point is. A run on a few tokens then checks the loaded model: an activation must be one vector per position,
and the outputs of a block's parts must sum to the block's output. A hook point that fails the check is unavailable.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
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
"""Called with activations (B, T, D); a returned tensor replaces them, None leaves them unchanged."""

RESIDUAL_HOOKS = ("hook_resid_pre", "hook_resid_post")
"""The residual stream between blocks: the input and the output of a block in every architecture."""

STEERABLE_HOOKS = ("hook_resid_mid", "hook_attn_out", "hook_mlp_out", "attn.hook_z", "mlp.hook_post")
"""Further hook points of a block that can be steered if the model has a module for them."""

CAPTURE_ONLY_HOOKS = ("mlp.hook_in", "mlp.hook_out")
"""Further hook points of a block that can be captured, and steered only where one of STEERABLE_HOOKS is the same."""


@dataclass(frozen=True)
class HookModule:
    """The input or the output of a module.

    `residual_block` is the block whose residual connection carries the same activations past the module: a change is
    added to the block's output as well.
    """

    module: torch.nn.Module
    side: Literal["input", "output"]
    residual_block: torch.nn.Module | None = None

    def add_hook(self, visit: ActivationCallback) -> list[RemovableHandle]:
        """Call `visit` on each run of the module. The caller removes the returned handles."""
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

        # runs before the block's other hooks, which may steer its output
        after = self.residual_block.register_forward_hook(_forward_hook(carried), prepend=True)
        return [_add_hook(self.module, self.side, changed), after]


@dataclass(frozen=True)
class HookModules:
    """`by_name`: module and width of each available hook point `blocks.N.…`.

    `unavailable`: the reason for each of STEERABLE_HOOKS and CAPTURE_ONLY_HOOKS that the model has no module for.
    `by_path`: the same as `by_name` for inputs and outputs of modules inside blocks, `blocks.N.<path>.<side>`, as
    `canonical_hook_name` names them.
    """

    by_name: dict[str, tuple[HookModule, int]]
    unavailable: dict[str, str]
    by_path: dict[str, tuple[HookModule, int]] = field(default_factory=dict)


def block_list(hf: PreTrainedModel, n_layers: int) -> tuple[str, torch.nn.ModuleList]:
    """The transformer blocks of `hf`, in order, and the name of their list.

    It is the outermost list of `n_layers` modules in the part of the model that reads text, whose other parts (for
    images, say) may have as many.

    Raises:
        ValueError: there is none, or the modules of a block are spread over several lists side by side (XLM).
    """
    text_part: Any = hf.get_decoder()
    in_encoders = _encoder_modules(hf)
    lists = [
        (name, module)
        for name, module in hf.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == n_layers and id(module) not in in_encoders
    ]
    in_text_part = {id(module) for module in text_part.modules()}
    for name, module in sorted(lists, key=lambda entry: id(entry[1]) not in in_text_part):
        parent = name.rpartition(".")[0]
        if sum(other.rpartition(".")[0] == parent for other, _ in lists) == 1:
            return name, module
        break
    raise ValueError(f"{type(hf).__name__} has no list of {n_layers} blocks")


def _encoder_modules(hf: PreTrainedModel) -> set[int]:
    """Ids of the modules of encoders of images and sound, which may be inside the text part (GIT)."""
    embeddings = hf.get_input_embeddings()
    modules: set[int] = set()
    for part in hf.modules():
        if isinstance(part, PreTrainedModel) and part.main_input_name not in ("input_ids", "inputs_embeds"):
            own = {id(module) for module in part.modules()}
            modules |= set() if id(embeddings) in own else own
    return modules


def residual_stream(blocks: torch.nn.ModuleList, layer: int) -> HookModule:
    """The residual stream after block `layer`; -1 means the embeddings."""
    return HookModule(blocks[0], "input") if layer < 0 else HookModule(blocks[layer], "output")


def find_hook_modules(hf: PreTrainedModel, blocks: torch.nn.ModuleList, ids: Sequence[int]) -> HookModules:
    """Modules of STEERABLE_HOOKS and CAPTURE_ONLY_HOOKS in every block, checked by a run on the token ids `ids`.

    For a model without weights (`load_model_outline`) only shapes are checked.
    """
    names = (*STEERABLE_HOOKS, *CAPTURE_ONLY_HOOKS)
    template = _block_component(hf)
    by_path = _modules_by_path(hf, blocks, ids)
    if isinstance(template, str):
        unknown = {f"blocks.{layer}.{name}": template for layer in range(len(blocks)) for name in names}
        return HookModules({}, unknown, by_path)
    unavailable: dict[str, str] = {}
    candidates: dict[str, HookModule] = {}
    for layer, block in enumerate(blocks):
        for name in names:
            module = _hook_module(template, block, name)
            if module is None:
                unavailable[f"blocks.{layer}.{name}"] = "it is no module's input or output in this architecture"
            else:
                candidates[f"blocks.{layer}.{name}"] = module
    captured = _capture_at(
        hf, candidates | {f"blocks.{layer}": residual_stream(blocks, layer) for layer in range(-1, len(blocks))}, ids
    )
    for name in candidates:
        if name not in captured:
            unavailable[name] = "its activations are not one vector per position in this model"
    for layer in () if fake_tensor_mode(hf) else range(len(blocks)):
        in_block = {name: captured[full] for name in names if (full := f"blocks.{layer}.{name}") in captured}
        for name in _inconsistent_hooks(in_block, captured.get(f"blocks.{layer - 1}"), captured.get(f"blocks.{layer}")):
            unavailable[f"blocks.{layer}.{name}"] = "it is not what this model adds to its residual stream"
    by_name = {
        name: (module, captured[name].shape[-1]) for name, module in candidates.items() if name not in unavailable
    }
    return HookModules(by_name, unavailable, by_path)


def unsupported_reason(hf: PreTrainedModel) -> str | None:
    """Why TransformerLens does not support this architecture; None if it does."""
    component = _block_component(hf)
    return component if isinstance(component, str) else None


def _block_component(hf: PreTrainedModel) -> GeneralizedComponent | str:
    """TransformerLens' description of a block of this architecture, or the reason why there is none."""
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
        return None  # in a mixture of experts the adapter gives the output in place of neurons
    return HookModule(module, side, block if name == "hook_resid_mid" else None)


def _resolve_hook(component: GeneralizedComponent, name: str) -> tuple[str, Literal["input", "output"]] | None:
    """Path of the module relative to `component`, and its side, for the hook point `name` of `component`."""
    *owners, hook = name.split(".")
    path: list[str] = []
    for owner in owners:
        if owner not in component.submodules:
            return None
        component = component.submodules[owner]
        if component.name:
            path.append(component.name)
    if hook in ("hook_in", "hook_out"):
        # a component without a name has no module of its own: the path would be the block
        return (".".join(path), "input" if hook == "hook_in" else "output") if component.name else None
    alias = component.hook_aliases.get(hook)
    resolved = _resolve_hook(component, alias) if isinstance(alias, str) else None
    return None if resolved is None else (".".join([*path, resolved[0]]), resolved[1])


@torch.inference_mode()
def _capture_at(hf: PreTrainedModel, modules: dict[str, HookModule], ids: Sequence[int]) -> dict[str, torch.Tensor]:
    """Activations (1, T, D) by name of the hook point, without those that are not one vector per position."""
    captured: dict[str, torch.Tensor] = {}
    handles = []
    try:
        for name, module in modules.items():
            handles.append(
                _add_hook(module.module, module.side, lambda hidden, n=name: captured.__setitem__(n, hidden))
            )
        with fake_tensor_mode(hf) or nullcontext():
            hf.base_model(input_ids=torch.tensor([list(ids)], device=hf.device), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return {name: hidden for name, hidden in captured.items() if hidden.shape[:-1] == (1, len(ids))}


@torch.inference_mode()
def _modules_by_path(
    hf: PreTrainedModel, blocks: torch.nn.ModuleList, ids: Sequence[int]
) -> dict[str, tuple[HookModule, int]]:
    """Inputs and outputs of the blocks' modules that are one vector per position in a run on `ids`, with their widths.

    Modules that run several times or not at all, such as experts, are left out.
    """
    widths: dict[str, list[int]] = {}

    def record(name: str, value: object) -> None:
        hidden = value[0] if isinstance(value, tuple) and value else value
        width = 0
        if isinstance(hidden, torch.Tensor) and hidden.shape[:-1] == (1, len(ids)):
            width = hidden.shape[-1]
        widths.setdefault(name, []).append(width)

    handles: list[RemovableHandle] = []
    by_path: dict[str, HookModule] = {}
    try:
        for layer, block in enumerate(blocks):
            for path, module in block.named_modules():
                if not path:
                    continue
                before, after = (f"blocks.{layer}.{path}.{side}" for side in ("input", "output"))
                by_path |= {before: HookModule(module, "input"), after: HookModule(module, "output")}
                handles += [
                    module.register_forward_pre_hook(
                        lambda _module, args, kwargs, n=before: record(
                            n, args[0] if args else kwargs.get("hidden_states")
                        ),
                        with_kwargs=True,
                    ),
                    module.register_forward_hook(lambda _module, _args, output, n=after: record(n, output)),
                ]
        with fake_tensor_mode(hf) or nullcontext():
            hf.base_model(input_ids=torch.tensor([list(ids)], device=hf.device), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return {name: (by_path[name], runs[0]) for name, runs in widths.items() if len(runs) == 1 and runs[0]}


def fake_tensor_mode(hf: PreTrainedModel) -> FakeTensorMode | None:
    """The mode to run a model in whose tensors have shapes only; None for a model with weights."""
    first = next(hf.parameters())
    return first.fake_mode if isinstance(first, FakeTensor) else None


def _inconsistent_hooks(
    in_block: dict[str, torch.Tensor], before: torch.Tensor | None, after: torch.Tensor | None
) -> set[str]:
    """Hook points of a block whose outputs don't sum to the stream: before + attention = mid, mid + MLP = after."""
    attention, mid, mlp = (in_block.get(name) for name in ("hook_attn_out", "hook_resid_mid", "hook_mlp_out"))
    if mid is None:  # attention and MLP in parallel
        first = second = _is_sum([before, attention, mlp], after)
    else:
        first, second = _is_sum([before, attention], mid), _is_sum([mid, mlp], after)
    is_consistent = {"hook_attn_out": first, "hook_resid_mid": first and second, "hook_mlp_out": second}
    return {name for name, consistent in is_consistent.items() if name in in_block and not consistent}


def _is_sum(terms: list[torch.Tensor | None], total: torch.Tensor | None) -> bool:
    """Whether all `terms` are present and sum to `total` up to a few rounding errors of their dtype."""
    tensors = [tensor for tensor in (*terms, total) if tensor is not None]
    if total is None or len(tensors) <= len(terms) or any(tensor.shape != total.shape for tensor in tensors):
        return False
    exact = torch.stack([tensor.cpu().double() for tensor in tensors])  # some devices have no float64
    tolerance = 4 * torch.finfo(total.dtype).eps * exact.abs().sum(0)
    return bool(((exact[:-1].sum(0) - exact[-1]).abs() <= tolerance).all())


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
        new = visit(output[0])  # blocks and attention modules of some architectures return a tuple
        return None if new is None else (new, *output[1:])

    return hook
