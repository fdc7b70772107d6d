"""What features and vectors read on one prompt.

`ids` are the prompt's tokens with whatever the caller put in front; values cover every position T. Positions that a
source's recipe ignores (a prepended BOS, tokens above its norm cut) are told apart as `ignored`. A feature fires where
its value is above 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from memicos_engine import hooks
from memicos_engine.capture import capture
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


@dataclass(frozen=True)
class Hit:
    """A feature among the strongest; `score` is what it was ranked by."""

    source: str
    index: int
    values: list[float]
    score: float
    max_value: float
    max_position: int


@dataclass(frozen=True)
class Strongest:
    """`counts[layer][position]`: features that fire, of all sources at that layer; `ignored`: positions by source."""

    hits: list[Hit]
    counts: list[list[int]]
    ignored: list[list[int]]


@torch.inference_mode()
def feature(model: LanguageModel, source: Source, ids: Sequence[int], index: int, ignore_bos: bool) -> Reading:
    """Values of one feature. With `ignore_bos` ignored positions take no part in the maximum.

    Raises:
        Refused: there is no such feature, or values are not finite.
    """
    source.check_index(index)
    hidden = _hidden(model, [source], ids)[source.hook_name]
    values = encode_features(source, hidden, [index])[:, 0].float()
    _check_finite(values, source.id)
    counted = counted_positions(hidden, source.recipe)
    value, position = _peak(values, counted if ignore_bos else None)
    return Reading(values.tolist(), value, position, _ignored(counted))


@torch.inference_mode()
def vector(model: LanguageModel, hook_name: str, direction: Sequence[float], ids: Sequence[int]) -> Reading:
    """Scalar product of a vector, as it is, with the activation at each position. No position is ignored.

    Raises:
        Refused: unknown hook, a vector of another width than the activations there, or values that are not finite.
    """
    hooks.check_captured(model, hook_name)
    hidden = capture(model, torch.tensor([list(ids)], device=model.device), None, [hook_name])[hook_name][0]
    hooks.check_width(hook_name, "The vector", len(direction), hidden.shape[-1])
    values = hidden.float() @ torch.tensor(direction, dtype=torch.float32, device=hidden.device)
    _check_finite(values, hook_name)
    value, position = _peak(values, None)
    return Reading(values.tolist(), value, position, [])


@torch.inference_mode()
def strongest(
    model: LanguageModel,
    sources: Sequence[Source],
    ids: Sequence[int],
    limit: int,
    sort_positions: Sequence[int] = (),
    ignore_bos: bool = True,
    only: Sequence[int] | None = None,
) -> Strongest:
    """The `limit` strongest features of all `sources`, strongest first; ties in the order of sources, then by index.

    They are ranked by their maximum over the positions that count, or by their sum over those of `sort_positions`
    that count (each once). With `ignore_bos` ignored positions do not count, else all do. Only features that fire on
    a position that counts are given, unless `only` names features of the one source: then those, and no other is
    looked at or counted.

    Raises:
        Refused: a position or feature that there is not, or values that are not finite.
    """
    for position in sort_positions:
        if not 0 <= position < len(ids):
            raise Refused(f"Cannot sort by position {position}: the prompt has positions 0 to {len(ids) - 1}.")
    if only is not None:
        if len(sources) != 1:
            raise Refused(f"Features can be named of one source; there are {len(sources)}.")
        for index in only:
            sources[0].check_index(index)
        only = sorted(set(only))
    hidden = _hidden(model, sources, ids)
    hits: list[Hit] = []
    ignored: list[list[int]] = []
    counts = [[0] * len(ids) for _ in range(max((source.layer for source in sources), default=-1) + 1)]
    for source in sources:
        here = hidden[source.hook_name]
        values = (source.encode(here) if only is None else encode_features(source, here, only)).float()
        counted = counted_positions(here, source.recipe)
        ignored.append(_ignored(counted))
        active = (values > 0).sum(-1).tolist()
        counts[source.layer] = [a + b for a, b in zip(counts[source.layer], active, strict=True)]
        hits += _best(source, values, counted if ignore_bos else None, limit, sort_positions, only)
    hits.sort(key=lambda hit: -hit.score)  # stable: ties stay in order
    return Strongest(hits[:limit], counts, ignored)


@torch.inference_mode()
def topk_by_token(
    model: LanguageModel, source: Source, ids: Sequence[int], k: int
) -> tuple[list[list[tuple[int, float]]], list[int]]:
    """For each position the (index, value) of the `k` strongest features that fire; and the ignored positions.

    Raises:
        Refused: values are not finite.
    """
    hidden = _hidden(model, [source], ids)[source.hook_name]
    values, indices = source.encode(hidden).float().topk(min(k, source.d_sae), dim=-1)
    _check_finite(values, source.id)  # topk takes NaN for the largest
    rows = [
        sorted(((i, v) for i, v in zip(*row, strict=True) if v > 0), key=lambda pair: (-pair[1], pair[0]))
        for row in zip(indices.tolist(), values.tolist(), strict=True)
    ]
    return rows, _ignored(counted_positions(hidden, source.recipe))


def _hidden(model: LanguageModel, sources: Sequence[Source], ids: Sequence[int]) -> dict[str, torch.Tensor]:
    """Activations (T, D) at the hooks of `sources`, by hook name."""
    for source in sources:
        hooks.check_captured(model, source.hook_name)
    if not sources:
        return {}
    tokens = torch.tensor([list(ids)], device=model.device)
    found = capture(model, tokens, None, [source.hook_name for source in sources])
    for source in sources:
        hooks.check_width(source.hook_name, f"Source {source.id}", source.d_in, found[source.hook_name].shape[-1])
    return {name: hidden[0] for name, hidden in found.items()}


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
    _check_finite(peaks, source.id)
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


def _check_finite(values: torch.Tensor, where: str) -> None:
    if not values.isfinite().all():
        raise Refused(
            f"Values of {where} on this prompt are not finite numbers: its dtype is too narrow for them. "
            "Run the server with MODEL_DTYPE and SAE_DTYPE bfloat16 or float32."
        )
