"""Compare two runs of the same text block by block. The hooks are independent of those that are tested."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.utils.hooks import RemovableHandle

from memicos_engine.capture.capture import capture
from memicos_engine.model.hook_modules import block_list
from memicos_engine.model.language_model import LanguageModel

PRE, POST = "blocks.{}.hook_resid_pre", "blocks.{}.hook_resid_post"
ALL = slice(None)


@dataclass(frozen=True)
class BlockActivations:
    """Inputs and outputs of each recorded block, a tensor (B, T, D) for each run of the model."""

    inputs: list[list[torch.Tensor]]
    outputs: list[list[torch.Tensor]]


@contextmanager
def record_blocks(model: LanguageModel, layers: Sequence[int] | None = None) -> Iterator[BlockActivations]:
    """Record the runs of the blocks `layers` (None: all) inside the context.

    Outputs are recorded before hooks that are added inside change them.
    """
    blocks = _blocks(model, layers)
    runs = BlockActivations([[] for _ in blocks], [[] for _ in blocks])
    handles = []
    for block, inputs, outputs in zip(blocks, runs.inputs, runs.outputs, strict=True):
        handles += [add_input_hook(block, inputs.append), add_output_hook(block, outputs.append)]
    try:
        yield runs
    finally:
        for handle in handles:
            handle.remove()


def block_differences(
    model: LanguageModel,
    ids: torch.Tensor,
    inputs: Sequence[torch.Tensor],
    outputs: Sequence[torch.Tensor],
    parts: Mapping[str, slice],
    layers: Sequence[int] | None = None,
) -> dict[str, float]:
    """Relative RMS between a run's block `inputs` and `outputs` (T, D) and those of the text `ids` (T,) run alone.

    In the run alone each block gets the input it had in the other run, so that errors do not accumulate; the first
    block's own input is compared as well. `parts` are named slices of the text, compared separately. `layers` are the
    blocks that `inputs` and `outputs` belong to, the first one included; None: all.
    """
    numbers = range(model.n_layers) if layers is None else layers
    with replaced_inputs(model, inputs, layers) as own:
        alone = capture(model, ids[None], None, [POST.format(number) for number in numbers])
    pairs = {"embeddings": (inputs[0], own[0][0])}
    for number, output in zip(numbers, outputs, strict=True):
        pairs[f"block {number}"] = (output, alone[POST.format(number)][0])
    return {
        f"{place}, {name}": relative_rms(model, actual[part], expected[part], part)
        for place, (actual, expected) in pairs.items()
        for name, part in parts.items()
        if len(ids[part])
    }


@contextmanager
def replaced_inputs(
    model: LanguageModel, inputs: Sequence[torch.Tensor], layers: Sequence[int] | None = None
) -> Iterator[list[torch.Tensor]]:
    """Give the blocks `layers` (None: all) the `inputs` (T, D) inside the context, in runs of one text.

    The first block's own inputs (1, T, D) are appended to the list.
    """
    blocks = _blocks(model, layers)
    own: list[torch.Tensor] = []
    handles = [add_input_hook(blocks[0], own.append)]
    for block, block_input in zip(blocks, inputs, strict=True):
        handles.append(add_input_hook(block, partial(_replacement, block_input[None])))
    try:
        yield own
    finally:
        for handle in handles:
            handle.remove()


def _blocks(model: LanguageModel, layers: Sequence[int] | None) -> list[torch.nn.Module]:
    _, blocks = block_list(model.hf, model.n_layers)
    return list(blocks) if layers is None else [blocks[layer] for layer in layers]


def residual_hooks(model: LanguageModel) -> list[str]:
    """Hook names of the residual stream after each block."""
    return [POST.format(layer) for layer in range(model.n_layers)]


def relative_rms(model: LanguageModel, actual: torch.Tensor, expected: torch.Tensor, positions: slice = ALL) -> float:
    """Relative RMS error of `actual` (T, n), the positions `positions` of a text; a prepended BOS is excluded.

    The error of each position is divided by the norm of the expected value, then the root mean square over positions is
    taken: a position with a norm a hundred times larger does not hide errors at the others.
    """
    first = int(model.bos_token_id is not None and not positions.start)
    # MPS has no float64
    computed, reference = actual[first:].cpu().double(), expected[first:].cpu().double()
    size = reference.norm(dim=-1).clamp(min=torch.finfo(torch.float32).tiny)
    return ((computed - reference).norm(dim=-1) / size).square().mean().sqrt().item()


def largest_difference(differences: dict[str, float]) -> tuple[float, str]:
    """The largest value with its name; NaN counts as infinite."""
    name = max(differences, key=lambda name: math.inf if math.isnan(differences[name]) else differences[name])
    return differences[name], name


def add_input_hook(block: torch.nn.Module, visit: Callable[[torch.Tensor], torch.Tensor | None]) -> RemovableHandle:
    """Call `visit` with the input of `block`; a returned tensor replaces the input."""

    def hook(_block: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        new = visit(args[0] if args else kwargs["hidden_states"])
        if new is None:
            return None
        return ((new, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": new})

    return block.register_forward_pre_hook(hook, with_kwargs=True)


def add_output_hook(block: torch.nn.Module, visit: Callable[[torch.Tensor], None]) -> RemovableHandle:
    """Call `visit` with the output of `block`."""

    def hook(_block: torch.nn.Module, _args: Any, output: Any) -> None:
        visit(output if isinstance(output, torch.Tensor) else output[0])

    return block.register_forward_hook(hook)


def _replacement(replacement: torch.Tensor, _hidden: torch.Tensor) -> torch.Tensor:
    return replacement
