"""Values of features and vectors on prompts.

A prompt is a list of token ids, with BOS if the caller prepended it; values cover all T positions. `prepend_bos` is the
request's setting: True where BOS was prepended though a source's recipe may not do so. Several prompts are run
together, padded on the right, with the same values as each prompt alone. Results are lists with one entry per
prompt. `ignored` lists positions that the source's recipe ignores (a prepended BOS, tokens above its norm cut). A
feature fires where its value is above 0. `dfa` is the direct feature attribution of an attention source's feature at
its maximum.

Calling one of these functions runs it to its end. `steps` of a function is a generator for callers that run several
together: it yields capture requests, then encode operations, and returns the result.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch

from memicos_engine.capture import attribution
from memicos_engine.capture.attribution import Attribution
from memicos_engine.capture.batched_ops import (
    CaptureSteps,
    EncodeOperation,
    EncoderColumnsOperation,
    batchable,
    encode_groups,
)
from memicos_engine.capture.capture import CapturedActivations, CaptureRequest
from memicos_engine.capture.positions import bos_at_start, included_positions
from memicos_engine.errors import InvalidRequestError
from memicos_engine.model import hook_points
from memicos_engine.model.hook_names import canonical_hook_name
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.sources.source import SourceInfo

VALUES_PER_STEP = 50_000
"""Values that `sparse_activations` sorts by feature before it yields, so that other work can run."""


@dataclass(frozen=True)
class DirectionActivations:
    """Values of one direction on a prompt, one per position.

    `max_position` is the first position with `max_value`; both are 0 if no position counts.
    """

    values: list[float]
    max_value: float
    max_position: int
    ignored: list[int]
    dfa: Attribution | None = None


@dataclass(frozen=True)
class RankedFeature:
    """One of the strongest features on a prompt; `score` is the value it was ranked by."""

    source: str
    index: int
    values: list[float]
    score: float
    max_value: float
    max_position: int
    dfa: Attribution | None = None


@dataclass(frozen=True)
class RankedFeatures:
    """`counts[layer][position]`: features that fire, of all sources at that layer; `ignored`: positions by source."""

    features: list[RankedFeature]
    counts: list[list[int]]
    ignored: list[list[int]]


@dataclass(frozen=True)
class TopFeaturesByToken:
    """`rows[position]`: (index, value) of the strongest features there, strongest first; ties by index."""

    rows: list[list[tuple[int, float]]]
    ignored: list[int]


@dataclass(frozen=True)
class SparseActivations:
    """`features[index]`: (position, value) wherever the feature fires on a position that counts; both ascending."""

    features: dict[int, list[tuple[int, float]]]
    ignored: list[int]


@batchable
def feature_activations(
    model: LanguageModel,
    source: SourceInfo,
    prompts: Sequence[Sequence[int]],
    index: int,
    ignore_bos: bool,
    prepend_bos: bool | None = None,
) -> CaptureSteps[list[DirectionActivations]]:
    """Values of one feature. With `ignore_bos` ignored positions are excluded from the maximum.

    Raises:
        InvalidRequestError: there is no such feature, or values are not finite.
    """
    source.check_index(index)
    results = []
    captured = yield from _capture_sources(model, [source], prompts)
    for ids, at_hooks in zip(prompts, captured, strict=True):
        hidden = _source_input(source, at_hooks)
        (encoded,) = yield EncodeOperation(source, [hidden], [index])
        values = encoded[:, 0].float()
        check_finite(values, source.id)
        counted = _included_positions(model, source, hidden, ids, prepend_bos)
        value, position = _maximum(values, counted if ignore_bos else None)
        (dfa,) = yield from _attribute_features(model, source, at_hooks, [(index, position)])
        results.append(DirectionActivations(values.tolist(), value, position, _excluded_positions(counted), dfa))
    return results


@batchable
def vector_activations(
    model: LanguageModel, hook_name: str, direction: Sequence[float], prompts: Sequence[Sequence[int]]
) -> CaptureSteps[list[DirectionActivations]]:
    """Dot product of a vector, not normalised, with the activation at each position. No position is ignored.

    `hook_name` may be the name of a module, as `canonical_hook_name` takes it.

    Raises:
        InvalidRequestError: unknown hook, a vector of another width than the activations there, or values
            that are not finite.
    """
    hook_name = canonical_hook_name(hook_name)
    hook_points.check_capturable(model, hook_name)
    results = []
    captured = yield CaptureRequest(prompts, (hook_name,))
    for at_hooks in captured:
        hidden = at_hooks[hook_name]
        hook_points.check_width(hook_name, "The vector", len(direction), hidden.shape[-1])
        values = hidden.float() @ torch.tensor(direction, dtype=torch.float32, device=hidden.device)
        check_finite(values, hook_name)
        value, position = _maximum(values, None)
        results.append(DirectionActivations(values.tolist(), value, position, []))
    return results


@batchable
def top_features(
    model: LanguageModel,
    sources: Sequence[SourceInfo],
    prompts: Sequence[Sequence[int]],
    limit: int,
    sort_positions: Sequence[int] = (),
    ignore_bos: bool = True,
    only: Sequence[int] | None = None,
    prepend_bos: bool | None = None,
) -> CaptureSteps[list[RankedFeatures]]:
    """The `limit` strongest features of all `sources`, strongest first; ties in the order of sources, then by index.

    Features are ranked by their maximum over the positions that count, or by their sum over those of `sort_positions`
    that count (each once). With `ignore_bos` ignored positions do not count, else all do. Only features that fire on
    a position that counts are returned, unless `only` lists features of a single source: then exactly those are
    computed, counted and returned.

    Raises:
        InvalidRequestError: a position or feature does not exist, or values are not finite.
    """
    shortest = min(len(ids) for ids in prompts)
    for position in sort_positions:
        if not 0 <= position < shortest:
            subject = "the prompt" if len(prompts) == 1 else "the shortest prompt"
            raise InvalidRequestError(
                f"Cannot sort by position {position}: {subject} has positions 0 to {shortest - 1}."
            )
    if only is not None:
        if len(sources) != 1:
            raise InvalidRequestError(f"Feature numbers need exactly one source; {len(sources)} sources are selected.")
        for index in only:
            sources[0].check_index(index)
        only = sorted(set(only))
    captured = yield from _capture_sources(model, sources, prompts)
    n_layers = max((source.layer for source in sources), default=-1) + 1
    results = [RankedFeatures([], [[0] * len(ids) for _ in range(n_layers)], []) for ids in prompts]
    for source in sources:
        hidden = [_source_input(source, at_hooks) for at_hooks in captured]
        for group in encode_groups(source, hidden):
            inputs = [hidden[row] for row in group]
            for row, activations, encoded in zip(
                group, inputs, (yield EncodeOperation(source, inputs, only)), strict=True
            ):
                values, result = encoded.float(), results[row]
                counted = _included_positions(model, source, activations, prompts[row], prepend_bos)
                result.ignored.append(_excluded_positions(counted))
                active = (values > 0).sum(-1).tolist()
                result.counts[source.layer] = [a + b for a, b in zip(result.counts[source.layer], active, strict=True)]
                result.features.extend(
                    _rank_features(source, values, counted if ignore_bos else None, limit, sort_positions, only)
                )
    for result, at_hooks in zip(results, captured, strict=True):
        result.features.sort(key=lambda feature: -feature.score)  # stable: ties stay in order
        del result.features[limit:]
        for source in sources:
            ranks = [rank for rank, feature in enumerate(result.features) if feature.source == source.id]
            peaks = [(result.features[rank].index, result.features[rank].max_position) for rank in ranks]
            attributed = yield from _attribute_features(model, source, at_hooks, peaks)
            for rank, dfa in zip(ranks, attributed, strict=True):
                result.features[rank] = replace(result.features[rank], dfa=dfa)
    return results


@batchable
def top_features_by_token(
    model: LanguageModel,
    source: SourceInfo,
    prompts: Sequence[Sequence[int]],
    k: int,
    prepend_bos: bool | None = None,
) -> CaptureSteps[list[TopFeaturesByToken]]:
    """The `k` strongest features that fire at each position, ignored positions included.

    Raises:
        InvalidRequestError: values are not finite.
    """
    results = []
    captured = yield from _capture_sources(model, [source], prompts, attributed=False)
    hidden = [_source_input(source, at_hooks) for at_hooks in captured]
    for group in encode_groups(source, hidden):
        inputs = [hidden[row] for row in group]
        for row, activations, encoded in zip(group, inputs, (yield EncodeOperation(source, inputs)), strict=True):
            values, indices = encoded.float().topk(min(k, source.d_sae), dim=-1)
            check_finite(values, source.id)  # topk ranks NaN as the largest value
            strongest = [
                sorted(((i, v) for i, v in zip(*pairs, strict=True) if v > 0), key=lambda pair: (-pair[1], pair[0]))
                for pairs in zip(indices.tolist(), values.tolist(), strict=True)
            ]
            counted = _included_positions(model, source, activations, prompts[row], prepend_bos)
            results.append(TopFeaturesByToken(strongest, _excluded_positions(counted)))
    return results


@batchable
def sparse_activations(
    model: LanguageModel,
    source: SourceInfo,
    prompts: Sequence[Sequence[int]],
    max_values: int,
    ignore_bos: bool = True,
    prepend_bos: bool | None = None,
) -> CaptureSteps[list[SparseActivations]]:
    """Every feature that fires, with its values above 0.

    With `ignore_bos` ignored positions do not count, else all do.

    Raises:
        InvalidRequestError: all prompts together have more than `max_values` values above 0, or values are not finite.
    """
    results: list[SparseActivations] = []
    total = 0
    captured = yield from _capture_sources(model, [source], prompts, attributed=False)
    hidden = [_source_input(source, at_hooks) for at_hooks in captured]
    for group in encode_groups(source, hidden):
        inputs = [hidden[row] for row in group]
        for row, activations, encoded in zip(group, inputs, (yield EncodeOperation(source, inputs)), strict=True):
            values = encoded.float()
            check_finite(values, source.id)
            counted = _included_positions(model, source, activations, prompts[row], prepend_bos)
            by_feature = values.T > 0
            if ignore_bos:
                by_feature &= counted
            total += int(by_feature.sum())
            if total > max_values:
                raise InvalidRequestError(
                    f"Features of {source.id} have more than {max_values} values above 0 on these prompts, the limit "
                    "of a request. Send fewer or shorter prompts."
                )
            indices, positions = by_feature.nonzero(as_tuple=True)
            features: dict[int, list[tuple[int, float]]] = {}
            triples = zip(indices.tolist(), positions.tolist(), values[positions, indices].tolist(), strict=True)
            while chunk := list(islice(triples, VALUES_PER_STEP)):
                for index, position, value in chunk:
                    features.setdefault(index, []).append((position, value))
                yield None
            results.append(SparseActivations(features, _excluded_positions(counted)))
    return results


def _capture_sources(
    model: LanguageModel, sources: Sequence[SourceInfo], prompts: Sequence[Sequence[int]], attributed: bool = True
) -> Generator[CaptureRequest, CapturedActivations, CapturedActivations]:
    """Capture the inputs of sources on prompts and, if `attributed`, the activations that attribution needs.

    Raises:
        InvalidRequestError: the model does not have a source's hook point.
    """
    for source in sources:
        hook_points.check_capturable(model, source.hook_name)
    names = [source.hook_name for source in sources]
    if attributed:
        names += [name for source in sources for name in attribution.attribution_hooks(model, source)]
    return (yield CaptureRequest(prompts, tuple(dict.fromkeys(names))))


def _source_input(source: SourceInfo, at_hooks: Mapping[str, torch.Tensor]) -> torch.Tensor:
    hidden = at_hooks[source.hook_name]
    hook_points.check_width(source.hook_name, f"Source {source.id}", source.d_in, hidden.shape[-1])
    return hidden


def _included_positions(
    model: LanguageModel, source: SourceInfo, hidden: torch.Tensor, ids: Sequence[int], prepend_bos: bool | None
) -> torch.Tensor:
    has_bos = bos_at_start(ids, model.bos_token_id, source.recipe, prepend_bos)
    return included_positions(hidden, source.recipe, has_bos)


def _attribute_features(
    model: LanguageModel, source: SourceInfo, captured: Mapping[str, torch.Tensor], peaks: Sequence[tuple[int, int]]
) -> Generator[EncoderColumnsOperation, list[torch.Tensor], list[Attribution | None]]:
    """Attribution of features at `peaks`, pairs of feature and position; None for sources without attention heads."""
    needed = attribution.attribution_hooks(model, source)
    if not needed or not peaks:
        return [None for _ in peaks]
    columns = yield EncoderColumnsOperation(source, [index for index, _ in peaks])
    return [
        attribution.attribute(needed, captured, column, position)
        for column, (_, position) in zip(columns, peaks, strict=True)
    ]


def _rank_features(
    source: SourceInfo,
    values: torch.Tensor,
    counted: torch.Tensor | None,
    limit: int,
    sort_positions: Sequence[int],
    only: Sequence[int] | None,
) -> list[RankedFeature]:
    """The `limit` strongest features of `values` (T, F), or (T, n) for the features `only`.

    `counted` (T,) marks the positions that count; None: all count.
    """
    counting = _mask_excluded(values, counted)
    peaks = counting.amax(0)
    check_finite(peaks, source.id)
    scores = peaks
    if sort_positions:
        chosen = torch.zeros(len(values), dtype=torch.bool, device=values.device)
        chosen[list(sort_positions)] = True
        scores = values[chosen if counted is None else chosen & counted].sum(0)
    candidates = (peaks > 0).nonzero()[:, 0] if only is None else torch.arange(len(peaks), device=peaks.device)
    if len(candidates) > limit:
        least = scores[candidates].topk(limit).values[-1]
        candidates = candidates[scores[candidates] >= least]
    order = scores[candidates].sort(descending=True, stable=True).indices[:limit]
    kept = candidates[order]
    columns = values[:, kept].T.tolist()
    at = counting[:, kept].argmax(0)
    return [
        RankedFeature(source.id, only[column] if only is not None else column, row, score, peak, position)
        for column, row, score, peak, position in zip(
            kept.tolist(), columns, scores[kept].tolist(), peaks[kept].tolist(), at.tolist(), strict=True
        )
    ]


def _mask_excluded(values: torch.Tensor, counted: torch.Tensor | None) -> torch.Tensor:
    """`values` (T, F) with -inf at positions that don't count; all 0 if no position counts."""
    if counted is None or counted.all():
        return values
    return values.masked_fill(~counted[:, None], -torch.inf) if counted.any() else torch.zeros_like(values)


def _maximum(values: torch.Tensor, counted: torch.Tensor | None) -> tuple[float, int]:
    counting = _mask_excluded(values[:, None], counted)[:, 0]
    return counting.amax().item(), int(counting.argmax().item())


def _excluded_positions(counted: torch.Tensor) -> list[int]:
    return (~counted).nonzero()[:, 0].tolist()


def check_finite(values: torch.Tensor, where: str) -> None:
    """Raises InvalidRequestError if values at a source or hook point are not finite."""
    if not values.isfinite().all():
        raise InvalidRequestError(
            f"Values of {where} on this prompt are not finite numbers: its dtype is too narrow for them. "
            "Run the server with MODEL_DTYPE and SAE_DTYPE bfloat16 or float32."
        )
