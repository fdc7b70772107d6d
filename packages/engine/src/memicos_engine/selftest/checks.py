"""Checks of the loaded model: each compares two independent computations of the same numbers.

A check measures the relative RMS error: the error of each position divided by the norm of the expected value, then
the root mean square over positions; a prepended BOS is excluded. Errors grow from block to block, so blocks are
compared one by one on the same input. Tolerances are 1e-3 in float32 and 2e-2 in 16 bit; docs/inference.md has
measured errors.
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
from memicos_engine.model.hook_modules import block_list
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.selftest.block_comparison import (
    POST,
    PRE,
    add_input_hook,
    add_output_hook,
    block_differences,
    largest_difference,
    record_blocks,
    relative_rms,
    residual_hooks,
)
from memicos_engine.selftest.float32_reference import CheckNotPossible, Float32Reference
from memicos_engine.selftest.reconstruction_record import ReconstructionRecord, probe_texts, reconstruction_steps
from memicos_engine.sources.source import Source

Capability = Literal["activation", "generation"]
ALL_CAPABILITIES: tuple[Capability, ...] = ("activation", "generation")
TOLERANCE, TOLERANCE_16_BIT = 1e-3, 2e-2


@dataclass(frozen=True)
class CheckResult:
    """`measured` is the error, None if nothing was compared; `detail` says what was compared, or why nothing was.

    `affects` are the capabilities that are unreliable if the check fails; with `source` only for that source.
    `measured_at`: time (ISO 8601, UTC) at which an earlier start measured it; None if this start did.
    `boundary`: number of tokens of the longest text whose values do not depend on this check; None: all values do.
    """

    name: str
    measured: float | None
    tolerance: float
    detail: str
    affects: tuple[Capability, ...] = ALL_CAPABILITIES
    source: str | None = None
    measured_at: str | None = None
    boundary: int | None = None

    @property
    def passed(self) -> bool | None:
        """None if nothing was compared. NaN does not pass."""
        return None if self.measured is None else self.measured <= self.tolerance


@dataclass(frozen=True)
class CheckLimits:
    """How much is compared. None: everything, without limit.

    `positions`: tokens of text; `blocks`: blocks of the model; `vocabulary`: vocabulary entries; `generated_tokens`:
    tokens of a generation; `seconds`: time after which no further check begins, those of lengths excepted; `memory`:
    bytes for the float32 copies, and for the recorded activations of a check of a length. `longest_text`: tokens of the
    longest text that is served; boundaries beyond it are not checked (None: the model's context).
    """

    positions: int = 128
    blocks: int | None = None
    vocabulary: int | None = None
    generated_tokens: int = 16
    seconds: float | None = None
    memory: int | None = None
    longest_text: int | None = None


def tolerance_for(*dtypes: torch.dtype) -> float:
    return TOLERANCE if all(dtype.itemsize >= 4 for dtype in dtypes) else TOLERANCE_16_BIT


@torch.inference_mode()
def check_embedding(model: LanguageModel, limits: CheckLimits) -> CheckResult:
    """Compare the captured input of the first block with the tokens' embedding rows in the model's files.

    Raises:
        CheckNotPossible: the architecture's embeddings are not supported.
    """
    ids = _ids(model, limits.positions)
    captured = capture(model, ids, None, [PRE.format(0)])[PRE.format(0)][0]
    table: Any = model.hf.get_input_embeddings().weight
    name = next(name for name, value in model.hf.named_parameters() if value is table)
    rows = Checkpoint(model).rows(name, ids[0].tolist())
    origin = "of the files" if rows is not None else "of the running model"
    expected = Float32Reference(model).embedded(table[ids[0]] if rows is None else rows)
    detail = f"captured at {ids.shape[1]} positions, against the rows {origin}"
    return CheckResult("embedding", relative_rms(model, captured, expected), tolerance_for(model.dtype), detail)


@torch.inference_mode()
def check_blocks(model: LanguageModel, limits: CheckLimits, end: float = math.inf) -> CheckResult:
    """Compare each block's output with that of a float32 copy of the block on the CPU for the same input.

    No further block is begun after `end` (as time.monotonic).

    Raises:
        CheckNotPossible: the architecture's blocks are not supported, or cannot be compared in this dtype.
    """
    reference = Float32Reference(model)
    if reference.has_experts and model.dtype.itemsize < 4:
        raise CheckNotPossible("in 16 bit a token may be routed to another expert than in float32")
    layers = compared_layers(model, limits)
    fitting = [layer for layer in layers if limits.memory is None or reference.block_bytes(layer) <= limits.memory]
    if not fitting:
        raise CheckNotPossible(
            f"a block in float32 takes {reference.block_bytes(0):,} bytes; the limit is {limits.memory:,}"
        )
    ids = _ids(model, limits.positions)
    captured = capture(model, ids, None, [name.format(layer) for layer in fitting for name in (PRE, POST)])
    by_block: dict[str, float] = {}
    for layer in fitting:
        if by_block and time.monotonic() > end:
            break
        expected = reference.block(layer, captured[PRE.format(layer)][0])
        by_block[str(layer)] = relative_rms(model, captured[POST.format(layer)][0], expected)
    worst, at = largest_difference(by_block)
    done = "all" if len(by_block) == model.n_layers else f"{', '.join(by_block)} of"
    detail = f"{done} {model.n_layers} blocks at {ids.shape[1]} positions; the worst is {at}"
    return CheckResult("blocks", worst, tolerance_for(model.dtype), detail)


@torch.inference_mode()
def check_unembedding(model: LanguageModel, limits: CheckLimits) -> CheckResult:
    """Compare logits with final norm and unembedding of the last block's output, computed in float32 on the CPU.

    The mean of the logits is subtracted: softmax is invariant to it.

    Raises:
        CheckNotPossible: the architecture's final norm is not supported, or gets more than the last block's output.
    """
    reference = Float32Reference(model)
    normed_inputs: list[torch.Tensor] = []
    ids = _ids(model, limits.positions)
    rows = slice(0, model.d_vocab, _stride(model, limits))
    last: list[torch.Tensor] = []
    handles = [
        add_output_hook(block_list(model.hf, model.n_layers)[1][-1], last.append),
        add_input_hook(reference.running_final_norm, normed_inputs.append),
    ]
    try:
        logits = model.hf(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[0, :, rows]
    finally:
        for handle in handles:
            handle.remove()
    normed = normed_inputs[0] if normed_inputs else None
    if normed is None or normed.shape != last[0].shape or not torch.allclose(last[0], normed, 0, 0, equal_nan=True):
        raise CheckNotPossible(f"the final norm of {reference.kind} gets more than the last block's output")
    expected = reference.logits(reference.final_norm(last[0][0]), rows)
    measured = relative_rms(model, _centred(logits.float()), _centred(expected))
    detail = f"{len(range(model.d_vocab)[rows]):,} of {model.d_vocab:,} logits at {ids.shape[1]} positions"
    return CheckResult("unembedding", measured, tolerance_for(model.dtype), detail, ("generation",))


@torch.inference_mode()
def check_batch(model: LanguageModel, hook_names: Iterable[str], limits: CheckLimits) -> CheckResult:
    """Compare texts of different length captured in one padded batch with each text captured alone.

    Blocks are compared one by one; those of `hook_names` outside the residual stream are compared directly.
    """
    if not model.batches_prompts:
        raise CheckNotPossible("prompts of this model are run one by one")
    ids = _ids(model, limits.positions)[0]
    lengths = [len(ids), 2 * len(ids) // 3, len(ids) // 3]
    # rows have different tokens after the first, so that mixed-up rows are noticed
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
    differences: dict[str, float] = {}
    for number, row in enumerate(rows):
        n = len(row)
        inputs, outputs = ([runs[0][number, :n] for runs in blocks] for blocks in (together.inputs, together.outputs))
        differences |= block_differences(model, row, inputs, outputs, {f"text {number}": slice(n)})
        for name in others:
            alone = capture(model, row[None], None, [name])[name][0]
            differences[f"{name}, text {number}"] = relative_rms(model, by_bridge[name][number, :n], alone)
    worst, at = largest_difference(differences)
    detail = f"{len(rows)} texts of {', '.join(map(str, lengths))} tokens; the worst is {at}"
    return CheckResult("batch", worst, tolerance_for(model.dtype), detail, ("activation",))


@torch.inference_mode()
def check_cache(model: LanguageModel, limits: CheckLimits) -> CheckResult:
    """Compare the steps of a generation with runs of the whole texts without a cache, block by block.

    The two rows are a text and its first half, which is padded and steered.
    """
    if not model.caches_keys:
        raise CheckNotPossible("each token of this model is generated by a run of the whole text")
    # within one length limit: beyond it a generation begins anew, which the checks of lengths compare
    longest = min((model.max_context, *(n for n in model.length_limits if n > 2 * limits.generated_tokens)))
    ids = _ids(model, min(limits.positions, longest - limits.generated_tokens))[0]
    layer = model.n_layers // 2
    hidden = capture(model, ids[None], None, [POST.format(layer)])[POST.format(layer)][0]
    # half the difference between two positions: about the size of usual steering
    step = (hidden[-1] - hidden[-2]) / 2
    rows = [Row(ids.tolist()), Row(ids[: len(ids) // 2].tolist(), [SteeringVector(POST.format(layer), step, 1.0)])]
    room = kv_cache_bytes(model, len(rows), len(ids) + limits.generated_tokens)
    # no EOS: a row that ends would leave the batch, and rows would change places
    writing = Generation(model, rows, limits.generated_tokens, Sampling(), room)
    writing.eos = frozenset()
    with record_blocks(model) as cached:
        generate(model, writing)
    differences: dict[str, float] = {}
    for number, row in enumerate(rows):
        prompt = len(row.ids)
        pad, n = len(ids) - prompt, prompt + len(writing.ids[number]) - 1
        text = torch.tensor([*row.ids, *writing.ids[number]][:n], device=model.device)
        inputs, outputs = (
            [torch.cat([run[number] for run in runs])[pad : pad + n] for runs in blocks]
            for blocks in (cached.inputs, cached.outputs)
        )
        # separately, so that errors of a few generated tokens are not averaged away by the prompt
        parts = {f"prompt {number}": slice(prompt), f"generated after prompt {number}": slice(prompt, n)}
        differences |= block_differences(model, text, inputs, outputs, parts)
        if row.steers and layer + 1 < model.n_layers:
            differences["steering"] = relative_rms(model, inputs[layer + 1], outputs[layer] + step.to(model.dtype))
    worst, at = largest_difference(differences)
    detail = f"2 texts, one padded and steered, {limits.generated_tokens} tokens generated; the worst is {at}"
    return CheckResult("cache", worst, tolerance_for(model.dtype), detail, ("generation",))


@torch.inference_mode()
def check_weights(model: LanguageModel, limits: CheckLimits) -> CheckResult:
    """Compare the weights in memory with those in the model's files; they must be equal.

    Raises:
        CheckNotPossible: the files are not in a local folder, or their tensors have other names.
    """
    stored = Checkpoint(model)
    names = stored.names
    if limits.blocks is not None:
        blocks_name = block_list(model.hf, model.n_layers)[0]
        chosen = tuple(f"{blocks_name}.{layer}." for layer in compared_layers(model, limits))
        names = [name for name in names if name.startswith(chosen)]
    if not names:
        raise CheckNotPossible("the model's files are not in a local folder, or their tensors have other names")
    running = model.hf.state_dict()
    worst, worst_name = 0.0, "all are equal"
    for name, tensor in stored.tensors(names):
        loaded = running[name]
        expected = tensor.to(loaded.device, loaded.dtype)
        if torch.equal(loaded, expected):
            continue
        measured = ((loaded.float() - expected.float()).norm() / expected.float().norm()).item()
        if not measured <= worst:
            worst, worst_name = measured, f"{name} differs most"
    detail = f"{len(names)} of {len(stored.names)} tensors; {worst_name}"
    if stored.unmatched_names:
        detail += f" ({len(stored.unmatched_names)} of the files have no counterpart)"
    return CheckResult("weights", worst, 0.0, detail)


@torch.inference_mode()
def reconstruction_check_steps(
    model: LanguageModel, source: Source, expected: ReconstructionRecord
) -> Generator[None, None, CheckResult]:
    """Compare the source's reconstruction metrics with those recorded when it was added; yields between texts."""
    actual = yield from reconstruction_steps(model, source)
    pairs = {
        "active features per token": (actual.l0, expected.l0, 1.0),
        "explained variance": (actual.explained_variance, expected.explained_variance, 1.0),
        "largest norm": (actual.largest_norm, expected.largest_norm, 1e-9),
        "tokens counted": (float(actual.tokens), float(expected.tokens), 1.0),
    }
    worst, at = largest_difference(
        {
            metric: abs(measured - recorded) / max(abs(recorded), least)
            for metric, (measured, recorded, least) in pairs.items()
        }
    )
    measured, recorded, _ = pairs[at]
    detail = f"{at}: {measured:.6g}, recorded {recorded:.6g}"
    tolerance = tolerance_for(model.dtype, source.encoder_column(0).dtype)
    return CheckResult(f"reconstruction {source.id}", worst, tolerance, detail, source=source.id)


def _ids(model: LanguageModel, max_tokens: int) -> torch.Tensor:
    """Token ids (1, T) of the probe texts, after BOS if the model has one."""
    ids = model.token_ids("\n\n".join(probe_texts()), prepend_bos=True)
    return torch.tensor([ids[: min(max_tokens, model.max_context)]], device=model.device)


def compared_layers(model: LanguageModel, limits: CheckLimits) -> list[int]:
    """Layers to compare: all, or at most `limits.blocks` of the first two, the last and the middle one."""
    if limits.blocks is None:
        return list(range(model.n_layers))
    return sorted(
        list(dict.fromkeys([0, model.n_layers - 1, model.n_layers // 2, min(1, model.n_layers - 1)]))[: limits.blocks]
    )


def _stride(model: LanguageModel, limits: CheckLimits) -> int:
    """Step between the vocabulary entries that are compared."""
    entries = model.d_vocab if limits.vocabulary is None else limits.vocabulary
    if limits.memory is not None:
        entries = min(entries, max(1, limits.memory // (4 * model.d_model)))
    return math.ceil(model.d_vocab / entries)


def _centred(logits: torch.Tensor) -> torch.Tensor:
    return logits - logits.mean(-1, keepdim=True)
