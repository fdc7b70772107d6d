"""Results of search by text as the templates show them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from memicos_webapp.activation_search.query import PageQuery
from memicos_webapp.activation_search.service import FeatureResult, TextSearchQuery, TextSearchResults
from memicos_webapp.activation_search.token_search import TokenFeatures
from memicos_webapp.features.rows import FeatureCard
from memicos_webapp.formatting import lone_token_text
from memicos_webapp.token_shading import Piece, activation_level, is_right_to_left, pieces, token_groups

NO_TEXT = "·"
"""Shown for a token at the end of a text that adds nothing to it."""
TOKENS_EACH_SIDE = 24
"""Tokens shown on each side of the strongest one."""


@dataclass(frozen=True)
class TokenLink:
    """A token of the text, or all tokens of a character; its link ranks results by them.

    `title`: its positions.
    """

    text: str
    title: str
    ignored: bool
    chosen: bool
    href: str


@dataclass(frozen=True)
class ResultView:
    """A result. `activation`: the activation that it is ranked by, `share` its share of the feature's maximum
    activation.

    `first_token`: whether the activation is at the first token that counts.
    """

    activation: float
    share: float | None
    summed: bool
    first_token: bool
    href: str
    label: str
    source: str
    index: int
    density: float | None
    pieces: list[Piece]
    cut_before: bool
    cut_after: bool


def label_of(card: FeatureCard | None, index: int) -> str:
    """A feature's label; without one, its index and the tokens that it promotes."""
    if card and card.label:
        return card.label
    promotes = ", ".join(lone_token_text(token.strip()) or "space" for token, _ in card.positive[:3]) if card else ""
    return f"feature {index}" + (f", promotes {promotes}" if promotes else "")


def _shading_maximum(card: FeatureCard | None, activation: float) -> float:
    """The activation that gets the strongest shading: the feature's maximum, or `activation` if it was not imported."""
    return card.max_activation if card else activation


def _ignored(results: TextSearchResults, ignore_bos: bool) -> frozenset[int]:
    return results.ignored if ignore_bos else frozenset()


def token_links(results: TextSearchResults, query: PageQuery, path: str) -> list[TokenLink]:
    ignored = _ignored(results, query.ignore_bos)
    return [
        TokenLink(
            results.tokens[group[-1]] or NO_TEXT,
            _positions_title(group),
            any(position in ignored for position in group),
            any(position in query.sort_indexes for position in group),
            f"{path}?{query.sorted_by(group).params()}",
        )
        for group in token_groups(results.tokens, 0, len(results.tokens))
    ]


def direction(results: TextSearchResults) -> Literal["ltr", "rtl"]:
    """The direction of the text, that of its first character that has one."""
    text = "".join(token for position, token in enumerate(results.tokens) if position not in results.ignored)
    return "rtl" if is_right_to_left(text) else "ltr"


def _positions_title(group: range) -> str:
    if len(group) == 1:
        return f"position {group[0]}"
    return f"positions {group[0]} to {group[-1]}, the tokens of one character"


def _first_position(results: TextSearchResults, query: TextSearchQuery) -> int:
    """The first position that counts."""
    ignored = _ignored(results, query.ignore_bos)
    return next((i for i in range(len(results.tokens)) if i not in ignored), 0)


def count_at_first_token(results: TextSearchResults, query: TextSearchQuery) -> int:
    """Results that are ranked by their activation at the first token; 0 where positions to rank by are chosen.

    Some features are active at the start of every text; in a short text they may be most of the results.
    """
    if query.positions:
        return 0
    first = _first_position(results, query)
    return sum(result.activation.max_value_index == first for result in results.results)


def result_views(results: TextSearchResults, query: TextSearchQuery) -> list[ResultView]:
    first = _first_position(results, query)
    return [_result_view(results, result, query, first) for result in results.results]


def _result_view(results: TextSearchResults, result: FeatureResult, query: TextSearchQuery, first: int) -> ResultView:
    activation, card = result.activation, result.card
    # the text around the position that the result is ranked by
    peak = max(query.positions, key=activation.values.__getitem__, default=activation.max_value_index)
    start, end = max(0, peak - TOKENS_EACH_SIDE), min(len(results.tokens), peak + TOKENS_EACH_SIDE + 1)
    ignored = _ignored(results, query.ignore_bos)
    # an ignored BOS is not shown
    while start < end and start in ignored:
        start += 1
    values = {i: activation.values[i] for i in range(start, end) if activation.values[i] > 0 and i not in ignored}
    return ResultView(
        activation=activation.max_value if activation.sum_values is None else activation.sum_values,
        share=activation.share,
        summed=len(query.positions) > 1,
        first_token=peak == first,
        href=f"/{query.model}/{activation.source}/{activation.index}",
        label=label_of(card, activation.index),
        source=activation.source,
        index=activation.index,
        density=card.density if card else None,
        pieces=pieces(results.tokens, values, _shading_maximum(card, activation.max_value), start, end),
        cut_before=start > len(ignored),
        cut_after=end < len(results.tokens),
    )


@dataclass(frozen=True)
class FeatureView:
    """`level`: background level, by the share of the feature's maximum activation."""

    value: float
    level: int
    href: str
    label: str
    index: int


@dataclass(frozen=True)
class TokenView:
    """A token. `text`: of a part of a character, the character; `part`: which part, such as `1 of 3`, else empty."""

    position: int
    text: str
    part: str
    ignored: bool
    features: list[FeatureView]


def tokens(rows: Sequence[TokenFeatures], path: str, ignore_bos: bool) -> list[TokenView]:
    """One item per token; `path` is that of the source."""
    texts = [row.token for row in rows]
    groups = {rows[i].position: group for group in token_groups(texts, 0, len(texts)) for i in group}

    def part(row: TokenFeatures) -> str:
        group = groups[row.position]
        return f"{row.position - rows[group[0]].position + 1} of {len(group)}" if len(group) > 1 else ""

    return [
        TokenView(
            row.position,
            texts[groups[row.position][-1]] or NO_TEXT,
            part(row),
            row.ignored and ignore_bos,
            [
                FeatureView(
                    feature.value,
                    activation_level(feature.value, _shading_maximum(feature.card, feature.value)),
                    f"{path}/{feature.index}",
                    label_of(feature.card, feature.index),
                    feature.index,
                )
                for feature in row.features
            ],
        )
        for row in rows
    ]
