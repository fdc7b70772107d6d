"""Is what the loaded model computes right? Each check compares two ways to the same numbers.

A check measures the relative RMS: the error of each position by the size of what was expected there, then the root of
the mean square over positions; a prepended BOS is left out. Errors grow from block to block, so blocks are compared
one by one, each on the same input. Tolerances are 1e-3 in float32 and 2e-2 in 16 bit; docs/inference.md says what was
measured.
"""

import math
import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from memicos_engine.capture.capture import capture
from memicos_engine.generation.decoder import generate
from memicos_engine.generation.generation import Generation, Row, Sampling, kv_cache_bytes
from memicos_engine.generation.steering import SteeringVector
from memicos_engine.model import hook_points
from memicos_engine.model.checkpoint import Checkpoint
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.selftest.block_comparison import (
    POST,
    PRE,
    add_output_hook,
    block_differences,
    largest_difference,
    record_blocks,
    relative_rms,
    residual_hooks,
)
from memicos_engine.selftest.float32_reference import CheckNotPossible, Float32Reference, block_list
from memicos_engine.selftest.reconstruction_record import ReconstructionRecord, probe_texts, reconstruction_steps
from memicos_engine.sources.source import Source

Capability = Literal["activation", "generation"]
ALL_CAPABILITIES: tuple[Capability, ...] = ("activation", "generation")
TOLERANCE, TOLERANCE_16_BIT = 1e-3, 2e-2


@dataclass(frozen=True)
class CheckResult:
    """`measured` is None where nothing was compared; `words` say what was, or why not.

    `needed_by` is what cannot be relied on where it fails; with `source` only what that source is part of.
    """

    name: str
    measured: float | None
    tolerance: float
    detail: str
    affects: tuple[Capability, ...] = ALL_CAPABILITIES
    source: str | None = None

    @property
    def passed(self) -> bool | None:
        """None where nothing was compared. NaN is no pass."""
        return None if self.measured is None else self.measured <= self.tolerance


@dataclass(frozen=True)
class CheckLimits:
    """How much is compared. None: all of it, without bound.

    `positions` of text; `blocks` of the model; `vocabulary` entries; `written` tokens by a generation; `seconds` after
    which no further check begins; `memory` in bytes for the copies that are compared with.
    """

    positions: int = 128
    blocks: int | None = None
    vocabulary: int | None = None
    generated_tokens: int = 16
    seconds: float | None = None
    memory: int | None = None


def tolerance_for(*dtypes: torch.dtype) -> float:
    return TOLERANCE if all(dtype.itemsize >= 4 for dtype in dtypes) else TOLERANCE_16_BIT


@torch.inference_mode()
def check_embedding(model: LanguageModel, extent: CheckLimits) -> CheckResult:
    """The first block's input, as it is captured, against the embedding rows of the tokens in the model's files.

    Raises:
        CheckNotPossible: an architecture whose embeddings are not known.
    """
    ids = _ids(model, extent.positions)
    captured = capture(model, ids, None, [PRE.format(0)])[PRE.format(0)][0]
    table: Any = model.hf.get_input_embeddings().weight
    name = next(name for name, value in model.hf.named_parameters() if value is table)
    rows = Checkpoint(model).rows(name, ids[0].tolist())
    origin = "of the files" if rows is not None else "of the running model"
    expected = Float32Reference(model).embedded(table[ids[0]] if rows is None else rows)
    words = f"captured at {ids.shape[1]} positions, against the rows {origin}"
    return CheckResult("embedding", relative_rms(model, captured, expected), tolerance_for(model.dtype), words)


@torch.inference_mode()
def check_blocks(model: LanguageModel, extent: CheckLimits, end: float = math.inf) -> CheckResult:
    """Each block's output against what a float32 copy of it, on the CPU, makes of the same input.

    No further block begins after `end` (of time.monotonic).

    Raises:
        CheckNotPossible: an architecture whose blocks are not known, or cannot be compared in this dtype.
    """
    reference = Float32Reference(model)
    if reference.has_experts and model.dtype.itemsize < 4:
        raise CheckNotPossible("in 16 bit a token may well go to another expert than in float32")
    layers = _layers(model, extent)
    fitting = [layer for layer in layers if extent.memory is None or reference.block_bytes(layer) <= extent.memory]
    if not fitting:
        raise CheckNotPossible(
            f"a block in float32 takes {reference.block_bytes(0):,} bytes, {extent.memory:,} are allowed"
        )
    ids = _ids(model, extent.positions)
    found = capture(model, ids, None, [name.format(layer) for layer in fitting for name in (PRE, POST)])
    by_block: dict[str, float] = {}
    for layer in fitting:
        if by_block and time.monotonic() > end:
            break
        expected = reference.block(layer, found[PRE.format(layer)][0])
        by_block[str(layer)] = relative_rms(model, found[POST.format(layer)][0], expected)
    worst, at = largest_difference(by_block)
    done = "all" if len(by_block) == model.n_layers else f"{', '.join(by_block)} of"
    words = f"{done} {model.n_layers} blocks at {ids.shape[1]} positions; the worst is {at}"
    return CheckResult("blocks", worst, tolerance_for(model.dtype), words)


@torch.inference_mode()
def check_unembedding(model: LanguageModel, extent: CheckLimits) -> CheckResult:
    """Logits against what final norm and unembedding make of the last block's output in float32 on the CPU.

    Logits have their mean taken off: softmax does not see it.

    Raises:
        CheckNotPossible: an architecture whose final norm is not known.
    """
    reference = Float32Reference(model)
    ids = _ids(model, extent.positions)
    rows = slice(0, model.d_vocab, _stride(model, extent))
    last: list[torch.Tensor] = []
    handle = add_output_hook(block_list(model.hf, model.n_layers)[1][-1], last.append)
    try:
        logits = model.hf(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[0, :, rows]
    finally:
        handle.remove()
    expected = reference.logits(reference.final_norm(last[0][0]), rows)
    measured = relative_rms(model, _centred(logits.float()), _centred(expected))
    words = f"{len(range(model.d_vocab)[rows]):,} of {model.d_vocab:,} logits at {ids.shape[1]} positions"
    return CheckResult("unembedding", measured, tolerance_for(model.dtype), words, ("generation",))


@torch.inference_mode()
def check_batch(model: LanguageModel, hook_names: Iterable[str], extent: CheckLimits) -> CheckResult:
    """Texts of different length, captured padded in one batch, against each by itself.

    Blocks are compared one by one; those of `hook_names` that are not of the residual stream as they come.
    """
    ids = _ids(model, extent.positions)[0]
    lengths = [len(ids), 2 * len(ids) // 3, len(ids) // 3]
    # rows go on with different tokens after the first, so that one cannot stand for another
    rows = [torch.cat([ids[:1], ids[len(ids) - length + 1 :]]) for length in lengths]
    padded = ids.new_zeros(len(rows), lengths[0])
    mask = torch.zeros_like(padded)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = row
        mask[number, : len(row)] = 1
    others = [name for name in dict.fromkeys(hook_names) if hook_points.residual_layer(name) is None]
    with record_blocks(model) as together:
        capture(model, padded, mask, residual_hooks(model))
    by_bridge = capture(model, padded, mask, others) if others else {}
    found: dict[str, float] = {}
    for number, row in enumerate(rows):
        n = len(row)
        inputs, outputs = ([runs[0][number, :n] for runs in one] for one in (together.inputs, together.outputs))
        found |= block_differences(model, row, inputs, outputs, {f"text {number}": slice(n)})
        for name in others:
            alone = capture(model, row[None], None, [name])[name][0]
            found[f"{name}, text {number}"] = relative_rms(model, by_bridge[name][number, :n], alone)
    worst, at = largest_difference(found)
    words = f"{len(rows)} texts of {', '.join(map(str, lengths))} tokens; the worst is {at}"
    return CheckResult("batch", worst, tolerance_for(model.dtype), words, ("activation",))


@torch.inference_mode()
def check_cache(model: LanguageModel, extent: CheckLimits) -> CheckResult:
    """The steps of a generation against runs of the whole texts without a cache, block by block.

    Its rows are a text, and half of it, which is padded and steered.
    """
    ids = _ids(model, min(extent.positions, model.max_context - extent.generated_tokens))[0]
    layer = model.n_layers // 2
    hidden = capture(model, ids[None], None, [POST.format(layer)])[POST.format(layer)][0]
    # half of what tells two positions apart: about as strong as steering is
    step = (hidden[-1] - hidden[-2]) / 2
    rows = [Row(ids.tolist()), Row(ids[: len(ids) // 2].tolist(), [SteeringVector(POST.format(layer), step, 1.0)])]
    room = kv_cache_bytes(model, len(rows), len(ids) + extent.generated_tokens)
    # rows that end leave the batch; here each is to be found at its place
    writing = Generation(model, rows, extent.generated_tokens, Sampling(), room)
    writing.eos = frozenset()
    with record_blocks(model) as cached:
        generate(model, writing)
    found: dict[str, float] = {}
    for number, row in enumerate(rows):
        prompt = len(row.ids)
        pad, n = len(ids) - prompt, prompt + len(writing.ids[number]) - 1
        text = torch.tensor([*row.ids, *writing.ids[number]][:n], device=model.device)
        inputs, outputs = (
            [torch.cat([run[number] for run in runs])[pad : pad + n] for runs in one]
            for one in (cached.inputs, cached.outputs)
        )
        # apart, so that a few written tokens are not lost among those of the prompt
        parts = {f"prompt {number}": slice(prompt), f"written after prompt {number}": slice(prompt, n)}
        found |= block_differences(model, text, inputs, outputs, parts)
        if row.steers and layer + 1 < model.n_layers:
            found["steering"] = relative_rms(model, inputs[layer + 1], outputs[layer] + step.to(model.dtype))
    worst, at = largest_difference(found)
    words = f"2 texts, one padded and steered, {extent.generated_tokens} tokens written; the worst is {at}"
    return CheckResult("cache", worst, tolerance_for(model.dtype), words, ("generation",))


@torch.inference_mode()
def check_weights(model: LanguageModel, extent: CheckLimits) -> CheckResult:
    """The weights in memory against those in the model's files, which must be the same.

    Raises:
        CheckNotPossible: the files are not in a local folder, or have other tensors.
    """
    stored = Checkpoint(model)
    names = stored.names
    if extent.blocks is not None:
        place = block_list(model.hf, model.n_layers)[0]
        chosen = tuple(f"{place}.{layer}." for layer in _layers(model, extent))
        names = [name for name in names if name.startswith(chosen)]
    if not names:
        raise CheckNotPossible("the model's files are not in a local folder, or name their tensors otherwise")
    running = model.hf.state_dict()
    worst, at = 0.0, "all are the same"
    for name, tensor in stored.tensors(names):
        here = running[name]
        expected = tensor.to(here.device, here.dtype)
        if torch.equal(here, expected):
            continue
        measured = ((here.float() - expected.float()).norm() / expected.float().norm()).item()
        if not measured <= worst:
            worst, at = measured, f"{name} differs most"
    words = f"{len(names)} of {len(stored.names)} tensors; {at}"
    if stored.unmatched_names:
        words += f" ({len(stored.unmatched_names)} of the files have no counterpart)"
    return CheckResult("weights", worst, 0.0, words)


@torch.inference_mode()
def reconstruction_check_steps(
    model: LanguageModel, source: Source, expected: ReconstructionRecord
) -> Generator[None, None, CheckResult]:
    """What the source makes of the probe's text against what was recorded when it was added."""
    found = yield from reconstruction_steps(model, source)
    pairs = {
        "active features a token": (found.l0, expected.l0, 1.0),
        "explained variance": (found.explained_variance, expected.explained_variance, 1.0),
        "largest norm": (found.largest_norm, expected.largest_norm, 1e-9),
        "tokens counted": (float(found.tokens), float(expected.tokens), 1.0),
    }
    worst, at = largest_difference(
        {what: abs(now - then) / max(abs(then), least) for what, (now, then, least) in pairs.items()}
    )
    now, then, _ = pairs[at]
    words = f"{at}: {now:.6g}, recorded {then:.6g}"
    tolerance = tolerance_for(model.dtype, source.encoder_column(0).dtype)
    return CheckResult(f"reconstruction {source.id}", worst, tolerance, words, source=source.id)


def _ids(model: LanguageModel, most: int) -> torch.Tensor:
    """Token ids (1, T) of the probe's texts, after BOS where there is one."""
    ids = model.token_ids("\n\n".join(probe_texts()), prepend_bos=True)
    return torch.tensor([ids[: min(most, model.max_context)]], device=model.device)


def _layers(model: LanguageModel, extent: CheckLimits) -> list[int]:
    """Those that are compared: all, or at most `extent.blocks` of the first two, the last and the middle one."""
    if extent.blocks is None:
        return list(range(model.n_layers))
    return sorted(
        list(dict.fromkeys([0, model.n_layers - 1, model.n_layers // 2, min(1, model.n_layers - 1)]))[: extent.blocks]
    )


def _stride(model: LanguageModel, extent: CheckLimits) -> int:
    """Every how manieth entry of the vocabulary is compared."""
    most = model.d_vocab if extent.vocabulary is None else extent.vocabulary
    if extent.memory is not None:
        most = min(most, max(1, extent.memory // (4 * model.d_model)))
    return math.ceil(model.d_vocab / most)


def _centred(logits: torch.Tensor) -> torch.Tensor:
    return logits - logits.mean(-1, keepdim=True)
