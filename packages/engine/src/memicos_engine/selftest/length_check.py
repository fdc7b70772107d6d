"""Check of texts on both sides of a length at which a part of the model begins to compute differently.

A text that ends at the boundary and one that ends past it are run as requests are: both in one padded batch, the longer
one in parts, and a generation that crosses the boundary. Each is compared, block by block, with a run of the whole text
by plain transformers. The other checks use short texts, and cannot see an error beyond a boundary.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from memicos_engine.capture.capture import CaptureRequest, can_split_prompts, capture, capture_in_slices
from memicos_engine.generation.decoder import generate
from memicos_engine.generation.generation import Generation, Row, Sampling, kv_cache_bytes
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.model.length_dependent_rope import plain_rotary
from memicos_engine.model.length_mechanisms import length_boundaries
from memicos_engine.selftest.block_comparison import POST, block_differences, largest_difference, record_blocks
from memicos_engine.selftest.checks import CheckLimits, CheckResult, compared_layers, tolerance_for
from memicos_engine.selftest.float32_reference import CheckNotPossible
from memicos_engine.selftest.reconstruction_record import probe_texts

PAST = 16
"""Tokens of the longer text beyond the boundary."""
BEFORE = 2
"""Tokens between the end of a prompt and the boundary, which the generation crosses."""


def checked_boundaries(model: LanguageModel, longest_text: int | None) -> dict[int, list[str]]:
    """The boundaries below the longest text that is served (None: the model's context), with the kinds of mechanism."""
    longest = model.max_context if longest_text is None else min(longest_text, model.max_context)
    return length_boundaries(model.hf.config.get_text_config(decoder=True), longest)


def unknown_result(model: LanguageModel, boundary: int) -> CheckResult:
    """The result of the check of a boundary where nothing is compared."""
    return CheckResult(f"length {boundary}", None, tolerance_for(model.dtype), "", boundary=boundary)


@torch.inference_mode()
def check_length(model: LanguageModel, boundary: int, kinds: Sequence[str], limits: CheckLimits) -> CheckResult:
    """Compare texts that end at and past `boundary` (tokens), as they are served, with plain runs of each.

    Raises:
        CheckNotPossible: the recorded activations need more memory than `limits` has.
    """
    longest = model.max_context if limits.longest_text is None else min(limits.longest_text, model.max_context)
    ids = _repeated_probe(model, min(boundary + PAST, longest))
    layers = _compared_layers(model, limits)
    nbytes = 2 * len(layers) * 2 * len(ids) * model.d_model * model.dtype.itemsize
    if limits.memory is not None and nbytes > limits.memory:
        raise CheckNotPossible(
            f"the activations of two texts of {len(ids):,} tokens take {nbytes:,} bytes; the limit is {limits.memory:,}"
        )
    differences: dict[str, float] = {}
    compared = [f"texts of {boundary:,} and {len(ids):,} tokens"]
    together = [ids, ids[:boundary]] if model.batches_prompts else []
    for way, texts in (("in a batch", together), ("alone", [] if together else [ids, ids[:boundary]])):
        if texts:
            differences |= _batch_differences(model, texts, layers, boundary, way)
            compared.append(way)
    if can_split_prompts(model, [POST.format(0)]):
        differences |= _parts_differences(model, ids, layers, boundary)
        compared.append("in parts")
    if model.caches_keys and boundary > BEFORE:
        differences |= _generation_differences(model, ids, layers, boundary)
        compared.append("generated")
    worst, at = largest_difference(differences)
    detail = f"{', '.join(kinds)}: {compared[0]} {', '.join(compared[1:])}; the worst is {at}"
    return replace(unknown_result(model, boundary), measured=worst, detail=detail)


def _batch_differences(
    model: LanguageModel, texts: Sequence[torch.Tensor], layers: Sequence[int], boundary: int, way: str
) -> dict[str, float]:
    """Texts captured in one padded batch; with one text at a time where the model batches no prompts."""
    groups = [list(texts)] if model.batches_prompts else [[text] for text in texts]
    differences: dict[str, float] = {}
    for group in groups:
        longest = max(map(len, group))
        padded = torch.stack([torch.nn.functional.pad(text, (0, longest - len(text))) for text in group])
        ends = torch.tensor([len(text) for text in group], device=model.device)
        mask = (torch.arange(longest, device=model.device) < ends[:, None]).long()
        with record_blocks(model, layers) as recorded:
            capture(model, padded, None if len(group) == 1 else mask, [POST.format(model.n_layers - 1)])
        for row, text in enumerate(group):
            inputs, outputs = (
                [runs[0][row, : len(text)] for runs in blocks] for blocks in (recorded.inputs, recorded.outputs)
            )
            name = f"{len(text)} tokens {way}"
            differences |= _against_plain_run(model, text, inputs, outputs, _parts(name, len(text), boundary), layers)
    return differences


def _parts_differences(
    model: LanguageModel, ids: torch.Tensor, layers: Sequence[int], boundary: int
) -> dict[str, float]:
    """One text captured in two or more parts, the last of which crosses the boundary."""
    part = max(1, boundary - BEFORE)
    request = CaptureRequest([ids.tolist()], [POST.format(model.n_layers - 1)])
    with record_blocks(model, layers) as recorded:
        for _ in capture_in_slices(model, [request], lambda: part):
            pass
    inputs, outputs = (
        [torch.cat([run[0] for run in runs]) for runs in blocks] for blocks in (recorded.inputs, recorded.outputs)
    )
    parts = _parts(f"{len(ids)} tokens in parts", len(ids), boundary)
    return _against_plain_run(model, ids, inputs, outputs, parts, layers)


def _generation_differences(
    model: LanguageModel, ids: torch.Tensor, layers: Sequence[int], boundary: int
) -> dict[str, float]:
    """A generation from a prompt that ends before the boundary, up to the length of `ids`, or less."""
    prompt = ids[: boundary - BEFORE]
    n_tokens = min(len(ids) - len(prompt), 2 * BEFORE + 2)
    room = kv_cache_bytes(model, 1, len(ids))
    generation = Generation(model, [Row(prompt.tolist())], n_tokens, Sampling(), room)
    generation.eos = frozenset()
    with record_blocks(model, layers) as recorded:
        generate(model, generation)
    text = torch.cat([prompt, torch.tensor(generation.ids[0], device=model.device)])
    # keys and values are computed again where frequencies change: each run of several tokens is a text's beginning
    starts = [index for index, run in enumerate(recorded.inputs[0]) if not index or run.shape[1] > 1]
    differences: dict[str, float] = {}
    for start, end in zip(starts, [*starts[1:], len(recorded.inputs[0])], strict=True):
        inputs, outputs = (
            [torch.cat([run[0] for run in runs[start:end]]) for runs in blocks]
            for blocks in (recorded.inputs, recorded.outputs)
        )
        n = len(inputs[0])
        parts = _parts(f"generated up to {n} tokens", n, boundary)
        differences |= _against_plain_run(model, text[:n], inputs, outputs, parts, layers)
    return differences


def _against_plain_run(
    model: LanguageModel,
    ids: torch.Tensor,
    inputs: Sequence[torch.Tensor],
    outputs: Sequence[torch.Tensor],
    parts: dict[str, slice],
    layers: Sequence[int],
) -> dict[str, float]:
    with plain_rotary(model.hf):
        return block_differences(model, ids, inputs, outputs, parts, layers)


def _parts(name: str, n: int, boundary: int) -> dict[str, slice]:
    """The text up to and past the boundary, compared separately: few wrong positions are not averaged away."""
    return {name: slice(min(n, boundary)), f"{name}, past {boundary}": slice(boundary, n)}


def _compared_layers(model: LanguageModel, limits: CheckLimits) -> list[int]:
    """The layers of the other checks, and the first one of each type."""
    types = getattr(model.hf.config.get_text_config(decoder=True), "layer_types", None) or []
    return sorted({0, *compared_layers(model, limits), *(types.index(kind) for kind in set(types))})


def _repeated_probe(model: LanguageModel, n: int) -> torch.Tensor:
    """`n` token ids of the probe texts, repeated as often as necessary, after BOS if the model has one."""
    first = model.token_ids("", prepend_bos=True)
    text = model.token_ids("\n\n".join(probe_texts()), prepend_bos=False)
    ids = [*first, *text * (n // len(text) + 1)][:n]
    return torch.tensor(ids, device=model.device)
