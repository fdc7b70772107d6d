"""What features and vectors read on prompts.

A prompt is its token ids with whatever the caller put in front; values cover every position T. Several prompts are one
run of the model, padded on the right, and each gets what it would get alone: the lists given back are by prompt.
Positions that a source's recipe ignores (a prepended BOS, tokens above its norm cut) are told apart as `ignored`. A
feature fires where its value is above 0. `dfa` is where an attention source's feature is written from, at its maximum.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from memicos_engine import attribution, hooks
from memicos_engine.attribution import Attribution
from memicos_engine.capture import Captured, Wanted, in_one_run
from memicos_engine.encoding import encode_features
from memicos_engine.errors import Refused
from memicos_engine.model import LanguageModel
from memicos_engine.positions import counted_positions
from memicos_engine.sources import Source


@dataclass(frozen=True)
class Reading:
    """One direction on a prompt. `max_position` is the first with `max_value`; both are 0 where no position counts."""

    values: list[float]
    max_value: float
    max_position: int
    ignored: list[int]
    dfa: Attribution | None = None


@dataclass(frozen=True)
class Hit:
    """A feature among the strongest; `score` is what it was ranked by."""

    source: str
    index: int
    values: list[float]
    score: float
    max_value: float
    max_position: int
    dfa: Attribution | None = None


@dataclass(frozen=True)
class Strongest:
    """`counts[layer][position]`: features that fire, of all sources at that layer; `ignored`: positions by source."""

    hits: list[Hit]
    counts: list[list[int]]
    ignored: list[list[int]]


@dataclass(frozen=True)
class ByToken:
    """`rows[position]`: (index, value) of the strongest features there, strongest first; ties by index."""

    rows: list[list[tuple[int, float]]]
    ignored: list[int]


@dataclass(frozen=True)
class Firing:
    """`features[index]`: (position, value) wherever the feature fires on a position that counts; both ascending."""

    features: dict[int, list[tuple[int, float]]]
    ignored: list[int]


@torch.inference_mode()
def feature(
    model: LanguageModel,
    source: Source,
    prompts: Sequence[Sequence[int]],
    index: int,
    ignore_bos: bool,
    captured: Captured | None = None,
) -> list[Reading]:
    """Values of one feature. With `ignore_bos` ignored positions take no part in the maximum.

    Raises:
        Refused: there is no such feature, or values are not finite.
    """
    source.check_index(index)
    readings = []
    for here in captured or in_one_run(model, [wanted(model, [source], prompts)])[0]:
        hidden = _read(source, here)
        values = encode_features(source, hidden, [index])[:, 0].float()
        check_finite(values, source.id)
        counted = _counted(model, source, hidden)
        value, position = _peak(values, counted if ignore_bos else None)
        dfa = attribution.attribute(model, source, here, index, position)
        readings.append(Reading(values.tolist(), value, position, _ignored(counted), dfa))
    return readings


@torch.inference_mode()
def vector(
    model: LanguageModel,
    hook_name: str,
    direction: Sequence[float],
    prompts: Sequence[Sequence[int]],
    captured: Captured | None = None,
) -> list[Reading]:
    """Scalar product of a vector, as it is, with the activation at each position. No position is ignored.

    Raises:
        Refused: unknown hook, a vector of another width than the activations there, or values that are not finite.
    """
    readings = []
    for here in captured or in_one_run(model, [wanted_at(model, hook_name, prompts)])[0]:
        hidden = here[hook_name]
        hooks.check_width(hook_name, "The vector", len(direction), hidden.shape[-1])
        values = hidden.float() @ torch.tensor(direction, dtype=torch.float32, device=hidden.device)
        check_finite(values, hook_name)
        value, position = _peak(values, None)
        readings.append(Reading(values.tolist(), value, position, []))
    return readings


@torch.inference_mode()
def strongest(
    model: LanguageModel,
    sources: Sequence[Source],
    prompts: Sequence[Sequence[int]],
    limit: int,
    sort_positions: Sequence[int] = (),
    ignore_bos: bool = True,
    only: Sequence[int] | None = None,
    captured: Captured | None = None,
) -> list[Strongest]:
    """The `limit` strongest features of all `sources`, strongest first; ties in the order of sources, then by index.

    They are ranked by their maximum over the positions that count, or by their sum over those of `sort_positions`
    that count (each once). With `ignore_bos` ignored positions do not count, else all do. Only features that fire on
    a position that counts are given, unless `only` names features of the one source: then those, and no other is
    looked at or counted.

    Raises:
        Refused: a position or feature that there is not, or values that are not finite.
    """
    shortest = min(len(ids) for ids in prompts)
    for position in sort_positions:
        if not 0 <= position < shortest:
            which = "the prompt" if len(prompts) == 1 else "the shortest prompt"
            raise Refused(f"Cannot sort by position {position}: {which} has positions 0 to {shortest - 1}.")
    if only is not None:
        if len(sources) != 1:
            raise Refused(f"Features can be named of one source; there are {len(sources)}.")
        for index in only:
            sources[0].check_index(index)
        only = sorted(set(only))
    found: list[Strongest] = []
    each = captured or in_one_run(model, [wanted(model, sources, prompts)])[0]
    for at_hooks, ids in zip(each, prompts, strict=True):
        hits: list[Hit] = []
        ignored: list[list[int]] = []
        counts = [[0] * len(ids) for _ in range(max((source.layer for source in sources), default=-1) + 1)]
        for source in sources:
            here = _read(source, at_hooks)
            values = (source.encode(here) if only is None else encode_features(source, here, only)).float()
            counted = _counted(model, source, here)
            ignored.append(_ignored(counted))
            active = (values > 0).sum(-1).tolist()
            counts[source.layer] = [a + b for a, b in zip(counts[source.layer], active, strict=True)]
            hits += _best(source, values, counted if ignore_bos else None, limit, sort_positions, only)
        hits.sort(key=lambda hit: -hit.score)  # stable: ties stay in order
        hits = _attributed(model, sources, at_hooks, hits[:limit])
        found.append(Strongest(hits, counts, ignored))
    return found


@torch.inference_mode()
def topk_by_token(
    model: LanguageModel, source: Source, prompts: Sequence[Sequence[int]], k: int, captured: Captured | None = None
) -> list[ByToken]:
    """The `k` strongest features that fire at each position, ignored ones too.

    Raises:
        Refused: values are not finite.
    """
    found = []
    for here in captured or in_one_run(model, [wanted(model, [source], prompts, attributed=False)])[0]:
        hidden = _read(source, here)
        values, indices = source.encode(hidden).float().topk(min(k, source.d_sae), dim=-1)
        check_finite(values, source.id)  # topk takes NaN for the largest
        rows = [
            sorted(((i, v) for i, v in zip(*row, strict=True) if v > 0), key=lambda pair: (-pair[1], pair[0]))
            for row in zip(indices.tolist(), values.tolist(), strict=True)
        ]
        found.append(ByToken(rows, _ignored(_counted(model, source, hidden))))
    return found


@torch.inference_mode()
def firing(
    model: LanguageModel,
    source: Source,
    prompts: Sequence[Sequence[int]],
    most: int,
    ignore_bos: bool = True,
    captured: Captured | None = None,
) -> list[Firing]:
    """Every feature that fires, with its values above 0, at most `most` of them on all prompts together.

    With `ignore_bos` ignored positions do not count, else all do.

    Raises:
        Refused: there are more, or values are not finite.
    """
    found: list[Firing] = []
    total = 0
    for here in captured or in_one_run(model, [wanted(model, [source], prompts, attributed=False)])[0]:
        hidden = _read(source, here)
        values = source.encode(hidden).float()
        check_finite(values, source.id)
        counted = _counted(model, source, hidden)
        by_feature = values.T > 0
        if ignore_bos:
            by_feature &= counted
        total += int(by_feature.sum())
        if total > most:
            raise Refused(
                f"Features of {source.id} have more than {most} values above 0 on these prompts, and no more are "
                "given at a time. Ask for fewer or shorter prompts."
            )
        indices, positions = by_feature.nonzero(as_tuple=True)
        features: dict[int, list[tuple[int, float]]] = {}
        for index, position, value in zip(
            indices.tolist(), positions.tolist(), values[positions, indices].tolist(), strict=True
        ):
            features.setdefault(index, []).append((position, value))
        found.append(Firing(features, _ignored(counted)))
    return found


def wanted(
    model: LanguageModel, sources: Sequence[Source], prompts: Sequence[Sequence[int]], attributed: bool = True
) -> Wanted:
    """What the functions above need captured; they take it as `captured`, or capture it themselves.

    Raises:
        Refused: a source's hook is not there.
    """
    for source in sources:
        hooks.check_captured(model, source.hook_name)
    names = [source.hook_name for source in sources]
    if attributed:
        names += [name for source in sources for name in attribution.hooks_needed(model, source)]
    return Wanted(prompts, tuple(dict.fromkeys(names)))


def wanted_at(model: LanguageModel, hook_name: str, prompts: Sequence[Sequence[int]]) -> Wanted:
    """What `vector` needs captured. Raises Refused where there is no such hook."""
    hooks.check_captured(model, hook_name)
    return Wanted(prompts, (hook_name,))


def _read(source: Source, at_hooks: Mapping[str, torch.Tensor]) -> torch.Tensor:
    hidden = at_hooks[source.hook_name]
    hooks.check_width(source.hook_name, f"Source {source.id}", source.d_in, hidden.shape[-1])
    return hidden


def _counted(model: LanguageModel, source: Source, hidden: torch.Tensor) -> torch.Tensor:
    return counted_positions(hidden, source.recipe, model.bos_token_id is not None)


def _attributed(
    model: LanguageModel, sources: Sequence[Source], captured: Mapping[str, torch.Tensor], hits: Sequence[Hit]
) -> list[Hit]:
    by_id = {source.id: source for source in sources}
    return [
        replace(hit, dfa=attribution.attribute(model, by_id[hit.source], captured, hit.index, hit.max_position))
        for hit in hits
    ]


def _best(
    source: Source,
    values: torch.Tensor,
    counted: torch.Tensor | None,
    limit: int,
    sort_positions: Sequence[int],
    only: Sequence[int] | None,
) -> list[Hit]:
    """The strongest of `values` (T, F), or (T, n) for the features `only`. `counted` None: every position counts."""
    peaks, at = _peaks(values, counted)
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
    return [
        Hit(source.id, only[column] if only is not None else column, row, score, peak, position)
        for column, row, score, peak, position in zip(
            kept.tolist(), columns, scores[kept].tolist(), peaks[kept].tolist(), at[kept].tolist(), strict=True
        )
    ]


def _peaks(values: torch.Tensor, counted: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Maximum over the positions that count of `values` (T, F), and the first position that has it."""
    if counted is not None and not counted.all():
        if not counted.any():
            return values.new_zeros(values.shape[1]), torch.zeros(values.shape[1], dtype=torch.long)
        values = values.masked_fill(~counted[:, None], -torch.inf)
    return values.amax(0), values.argmax(0)


def _peak(values: torch.Tensor, counted: torch.Tensor | None) -> tuple[float, int]:
    value, position = _peaks(values[:, None], counted)
    return value.item(), int(position.item())


def _ignored(counted: torch.Tensor) -> list[int]:
    return (~counted).nonzero()[:, 0].tolist()


def check_finite(values: torch.Tensor, where: str) -> None:
    """Raises Refused where numbers read at a source or hook are not finite."""
    if not values.isfinite().all():
        raise Refused(
            f"Values of {where} on this prompt are not finite numbers: its dtype is too narrow for them. "
            "Run the server with MODEL_DTYPE and SAE_DTYPE bfloat16 or float32."
        )
