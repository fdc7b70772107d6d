"""Results of text search as pages draw them."""

from collections.abc import Sequence
from dataclasses import dataclass

from memicos_webapp.activation_search.query import PageQuery
from memicos_webapp.activation_search.service import Found, Hit, Query, TokenRow
from memicos_webapp.features.rows import FeatureCard
from memicos_webapp.features.view import Piece, pieces
from memicos_webapp.formatting import activation_level

AROUND = 24
"""Tokens shown on each side of the strongest one."""


@dataclass(frozen=True)
class Chip:
    """A token of the text that results can be ranked by."""

    text: str
    position: int
    ignored: bool
    chosen: bool
    href: str


@dataclass(frozen=True)
class ShownHit:
    shown: float
    summed: bool
    href: str
    label: str
    source: str
    index: int
    density: float | None
    pieces: list[Piece]
    cut_before: bool
    cut_after: bool


def label_of(card: FeatureCard | None, index: int) -> str:
    """A feature's words; without any, what it promotes."""
    if card and card.label:
        return card.label
    promotes = ", ".join(token.strip() or "space" for token, _ in card.positive[:3]) if card else ""
    return f"feature {index}" + (f", promotes {promotes}" if promotes else "")


def chips(found: Found, query: PageQuery, path: str) -> list[Chip]:
    return [
        Chip(
            token,
            position,
            position in found.ignored and query.ignore_bos,
            position in query.sort_indexes,
            f"{path}?{query.sorted_by(position).params()}",
        )
        for position, token in enumerate(found.tokens)
    ]


def hits(found: Found, query: Query) -> list[ShownHit]:
    return [_hit(found, hit, query) for hit in found.hits]


def _hit(found: Found, hit: Hit, query: Query) -> ShownHit:
    # what it is ranked by is what is shown
    peak = max(query.sort_indexes, key=hit.values.__getitem__, default=hit.max_value_index)
    start = max(0, peak - AROUND)
    end = min(len(found.tokens), peak + AROUND + 1)
    left_out = found.ignored if query.ignore_bos else frozenset()
    # the ignored BOS is no part of the text
    while start < end and start in left_out:
        start += 1
    values = {i: hit.values[i] for i in range(start, end) if hit.values[i] > 0 and i not in left_out}
    return ShownHit(
        shown=hit.max_value if hit.sum_values is None else hit.sum_values,
        summed=len(query.sort_indexes) > 1,
        href=f"/{query.model}/{hit.source}/{hit.index}",
        label=label_of(hit.card, hit.index),
        source=hit.source,
        index=hit.index,
        density=hit.card.density if hit.card else None,
        pieces=pieces(found.tokens, values, hit.card.max_activation if hit.card else hit.max_value, start, end),
        cut_before=start > len(left_out),
        cut_after=end < len(found.tokens),
    )


@dataclass(frozen=True)
class ShownFeature:
    value: float
    level: int
    """Background level: the share of the feature's maximum activation."""
    href: str
    label: str
    index: int


@dataclass(frozen=True)
class ShownToken:
    position: int
    text: str
    ignored: bool
    features: list[ShownFeature]


def tokens(rows: Sequence[TokenRow], path: str, ignore_bos: bool) -> list[ShownToken]:
    """`path` is that of the source. Levels are shares of each feature's maximum activation."""
    return [
        ShownToken(
            row.position,
            row.token,
            row.ignored and ignore_bos,
            [
                ShownFeature(
                    one.value,
                    activation_level(one.value, one.card.max_activation if one.card else one.value),
                    f"{path}/{one.index}",
                    label_of(one.card, one.index),
                    one.index,
                )
                for one in row.features
            ],
        )
        for row in rows
    ]
