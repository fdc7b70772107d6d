"""How far two runs of the same text agree, block by block. Its hooks are its own, not those that are tested."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.utils.hooks import RemovableHandle

from memicos_engine.capture.capture import capture
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.selftest.float32_reference import block_list

PRE, POST = "blocks.{}.hook_resid_pre", "blocks.{}.hook_resid_post"
ALL = slice(None)


@dataclass(frozen=True)
class BlockActivations:
    """What went into each block and came out of it, a tensor (B, T, D) for each run of the model."""

    inputs: list[list[torch.Tensor]]
    outputs: list[list[torch.Tensor]]


@contextmanager
def record_blocks(model: LanguageModel) -> Iterator[BlockActivations]:
    """Records the runs inside; outputs are those before any hook that is added inside changes them."""
    _, blocks = block_list(model.hf, model.n_layers)
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
) -> dict[str, float]:
    """What tells a run's `inputs` and `outputs` (T, D) of the blocks from those of the text `ids` (T,) run alone.

    Alone each block is given the input that it had in the run, so that errors do not add up; the first block's own is
    compared as well. `parts` are names of slices of the text, each compared apart.
    """
    _, blocks = block_list(model.hf, model.n_layers)
    own: list[torch.Tensor] = []
    # before it is replaced
    handles = [add_input_hook(blocks[0], own.append)]
    for block, given in zip(blocks, inputs, strict=True):
        handles.append(add_input_hook(block, partial(_replacement, given[None])))
    try:
        alone = capture(model, ids[None], None, residual_hooks(model))
    finally:
        for handle in handles:
            handle.remove()
    pairs = {"embeddings": (inputs[0], own[0][0])}
    for number, output in enumerate(outputs):
        pairs[f"block {number}"] = (output, alone[POST.format(number)][0])
    return {
        f"{place}, {name}": relative_rms(model, found[part], expected[part], part)
        for place, (found, expected) in pairs.items()
        for name, part in parts.items()
        if len(ids[part])
    }


def residual_hooks(model: LanguageModel) -> list[str]:
    """Hook names of the residual stream after each block."""
    return [POST.format(layer) for layer in range(model.n_layers)]


def relative_rms(model: LanguageModel, found: torch.Tensor, expected: torch.Tensor, where: slice = ALL) -> float:
    """Relative RMS of `found` (T, n), which are the positions `where` of a text; a BOS in front is left out.

    The error of each position by the size of what is expected there, then the root of the mean square over positions:
    one whose activation is a hundred times larger than the others does not hide what is wrong at them.
    """
    first = int(model.bos_token_id is not None and not where.start)
    # MPS has no float64
    now, then = found[first:].cpu().double(), expected[first:].cpu().double()
    size = then.norm(dim=-1).clamp(min=torch.finfo(torch.float32).tiny)
    return ((now - then).norm(dim=-1) / size).square().mean().sqrt().item()


def largest_difference(found: dict[str, float]) -> tuple[float, str]:
    """The largest value, with its name; NaN is larger than all."""
    at = max(found, key=lambda name: math.inf if math.isnan(found[name]) else found[name])
    return found[at], at


def add_input_hook(block: torch.nn.Module, visit: Callable[[torch.Tensor], torch.Tensor | None]) -> RemovableHandle:
    """Call `visit` with what goes into `block`; what it returns, unless None, takes its place."""

    def hook(_block: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        new = visit(args[0] if args else kwargs["hidden_states"])
        if new is None:
            return None
        return ((new, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": new})

    return block.register_forward_pre_hook(hook, with_kwargs=True)


def add_output_hook(block: torch.nn.Module, visit: Callable[[torch.Tensor], None]) -> RemovableHandle:
    """Call `visit` with what comes out of `block`."""

    def hook(_block: torch.nn.Module, _args: Any, output: Any) -> None:
        visit(output if isinstance(output, torch.Tensor) else output[0])

    return block.register_forward_hook(hook)


def _replacement(given: torch.Tensor, _hidden: torch.Tensor) -> torch.Tensor:
    return given
