"""The parts of a dashboard: examples as marked-up text, groups of examples, histograms."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from memicos_dataset.schema import TOP_GROUP

from memicos_webapp.features.service import FeatureDetail, StoredExample
from memicos_webapp.formatting import format_count, format_value, shaded_token_text, token_text
from memicos_webapp.token_shading import (
    Piece,
    TokenAttributions,
    activation_level,
    active_token,
    join_values,
    markup,
    pieces,
    token_groups,
)

NEAR = 5
"""Tokens on each side of the peak in the stacked view."""
MIDDLE = 16
"""Tokens on each side of the peak in the snippet view."""
ORIGIN_TOKENS = 3
"""Tokens below an example that its activation came from."""


@dataclass(frozen=True)
class Example:
    """A text around its peak, in zones left and right of it that the three views show or hide."""

    value: float
    peak: Markup
    left: tuple[Markup, ...]
    """Far, middle and near, in reading order. Far is empty unless whole texts are requested."""
    right: tuple[Markup, ...]
    """Near, middle and far."""
    truncated: tuple[bool, bool]
    """Whether there is text beyond the middle, left and right."""
    title: str
    collection: str
    license: str
    origin: "Origin | None"


@dataclass(frozen=True)
class OriginToken:
    """A token that an activation came from, with its attribution."""

    text: str
    value: float
    before: int | None
    """How many tokens it is before the attributed one; None where that is not known."""


@dataclass(frozen=True)
class Origin:
    """Where the activation on a token of an example came from, by direct feature attribution."""

    tokens: list[OriginToken]
    """The strongest tokens, strongest first."""
    target: str | None
    """The attributed token, where it is not the one in the middle."""


@dataclass(frozen=True)
class Group:
    """Examples under one heading: the top activations, or those of the interval from `low` to `high`.

    An interval leaves out the examples that the top activations show already, so it may have none.
    """

    low: float | None
    high: float
    share: float | None
    """Share of the feature's activations in the interval."""
    examples: list[Example]


def _without_leading_blank(zones: list[list[Piece]]) -> list[list[Piece]]:
    for zone in zones:
        if zone:
            text = zone[0].text
            zone[0] = zone[0]._replace(text=text.removeprefix(" ") or text)
            break
    return zones


def _example(detail: FeatureDetail, stored: StoredExample, full_text: bool) -> Example:
    tokens, position, values = stored.context.tokens, stored.position, stored.values
    feature_max, attribution = detail.row.max_activation, stored.attribution
    attributions = TokenAttributions(attribution.values, attribution.target) if attribution else None
    # the prepended BOS is no part of the text
    start = 1 if detail.source.recipe["prepend_bos"] else 0

    def cut(low: int, high: int) -> list[Piece]:
        end = min(len(tokens), max(start, high))
        return pieces(tokens, values, feature_max, max(start, low), end, attributions)

    # the peak is shown with all tokens of its character
    last = next((i for i in range(position, len(tokens)) if tokens[i]), position)
    first = token_groups(tokens, last, last + 1)[0].start if tokens[last] else position
    zones_left = [
        cut(0, first - MIDDLE) if full_text else [],
        cut(first - MIDDLE, first - NEAR),
        cut(first - NEAR, first),
    ]
    value = values.get(position, 0.0)
    peak = range(first, last + 1)
    peak_values = join_values(format_value(values.get(i, 0.0)) for i in peak)
    licences = {collection["name"]: collection["license"] for collection in detail.source.collections}
    collection = stored.context.collection or ""
    return Example(
        value=value,
        peak=active_token(
            activation_level(value, feature_max),
            peak_values,
            token_text(tokens[last]),
            is_max=True,
            mark=attributions.mark(peak) if attributions else "",
            attributions=join_values(format_value(attributions.values[i]) for i in peak) if attributions else "",
        ),
        left=tuple(markup(zone) for zone in _without_leading_blank(zones_left)),
        right=tuple(
            markup(cut(last + 1 + low, last + 1 + high))
            for low, high in ((0, NEAR), (NEAR, MIDDLE), (MIDDLE, len(tokens) if full_text else MIDDLE))
        ),
        truncated=(first - MIDDLE > start, last + 1 + MIDDLE < len(tokens)),
        title=stored.context.title or "",
        collection=collection,
        license=licences.get(collection, ""),
        origin=_origin(tokens, attributions, peak) if attributions else None,
    )


def _origin_text(token: str) -> str:
    shown = shaded_token_text(token)
    return shown.strip(" ") or shown


def _origin(tokens: Sequence[str], attributions: TokenAttributions, peak: range) -> Origin:
    target = attributions.target
    strongest = sorted(range(len(tokens)), key=lambda i: -attributions.values[i])[:ORIGIN_TOKENS]
    found = [
        OriginToken(_origin_text(tokens[i]), attributions.values[i], None if target is None else target - i)
        for i in strongest
        if attributions.values[i] > 0
    ]
    return Origin(found, None if target is None or target in peak else _origin_text(tokens[target]))


def groups(detail: FeatureDetail, top_limit: int, full_text: bool) -> list[Group]:
    """The top activations, at most `top_limit`, then the intervals; all from strong to weak.

    Texts are `full_text`, or end with the middle zone.
    """
    row = detail.row
    stored = detail.examples()
    top = [example for example in stored if example.group == TOP_GROUP][:top_limit]
    top_positions = {(example.context.number, example.position) for example in top}
    by_group: dict[int, list[Example]] = {example.group: [] for example in stored if example.group != TOP_GROUP}
    for example in stored:
        if example.group != TOP_GROUP and (example.context.number, example.position) not in top_positions:
            by_group[example.group].append(_example(detail, example, full_text))
    sections = []
    if top:
        examples = [_example(detail, example, full_text) for example in top]
        sections.append(Group(None, row.max_activation, None, examples))
    intervals = len(row.quantile_shares)
    for group in sorted(by_group, reverse=True):
        low = row.max_activation * (group - 1) / intervals
        high = row.max_activation * group / intervals
        examples = sorted(by_group[group], key=lambda example: -example.value)
        sections.append(Group(low, high, row.quantile_shares[group - 1], examples))
    return sections


def bars(counts: Sequence[int], low: float, high: float, logarithmic: bool) -> Markup:
    """A histogram's bars in a viewBox of 100 x 70: equal bins from `low` to `high`, as SVG.

    Heights are counts, or their logarithms. Bins right of zero have the class `pos`.
    """
    if not counts or max(counts) <= 0:
        return Markup("")
    scaled = [math.log1p(number) if logarithmic else float(number) for number in counts]
    highest, step = max(scaled), 100 / len(counts)
    width = (high - low) / len(counts)
    rects = []
    for i, (number, size) in enumerate(zip(counts, scaled, strict=True)):
        if number == 0:
            continue
        height = max(0.7, 66 * size / highest)
        start = low + i * width
        positive = ' class="pos"' if start + width / 2 >= 0 else ""
        rects.append(
            f'<rect{positive} x="{i * step:.2f}" y="{70 - height:.1f}" width="{step * 0.86:.2f}" '
            f'height="{height:.1f}"><title>{format_value(start)} to {format_value(start + width)}: '
            f"{format_count(number)}</title></rect>"
        )
    return Markup("".join(rects))
