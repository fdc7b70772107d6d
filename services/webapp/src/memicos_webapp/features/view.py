"""A feature as its dashboard draws it: examples cut into pieces, groups, histograms, sentences."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup
from memicos_dataset.schema import TOP_GROUP

from memicos_webapp.features.service import Found
from memicos_webapp.formatting import activation_level, format_count, format_value, token_text

NEAR = 5
"""Tokens on each side of the peak that the stacked view shows."""
MIDDLE = 16
"""Tokens on each side of the peak that the snippet view shows."""

Piece = tuple[int, str, str]
"""(shade 0..9, value in words, text); shade 0 is a run of tokens that are not active."""


def pieces(tokens: Sequence[str], values: Mapping[int, float], strongest: float, start: int, end: int) -> list[Piece]:
    """Tokens `start` to `end` (exclusive) as pieces: one for each active token, one for each run of others.

    `values` has position -> activation of the active tokens.
    """
    found: list[Piece] = []
    after = start
    for position in sorted(i for i in values if start <= i < end):
        if position > after:
            found.append((0, "", token_text("".join(tokens[after:position]))))
        activation = values[position]
        found.append((activation_level(activation, strongest), format_value(activation), token_text(tokens[position])))
        after = position + 1
    if after < end:
        found.append((0, "", token_text("".join(tokens[after:end]))))
    return found


def markup(run: Sequence[Piece]) -> Markup:
    """Pieces as HTML; written here and not in a template, which takes several times as long."""
    return Markup(
        "".join(
            f'<i class="a{number}" title="{words}">{escape(text)}</i>' if number else escape(text)
            for number, words, text in run
        )
    )


@dataclass(frozen=True)
class Example:
    """A text around its peak; the zones left and right of it are those that the three views show or hide."""

    value: float
    peak: Piece
    left: tuple[Markup, ...]
    """Far, middle and near, in reading order. Far is empty where it was not asked for."""
    right: tuple[Markup, ...]
    """Near, middle and far."""
    cut: tuple[bool, bool]
    """Whether there is text beyond the middle, left and right."""
    title: str
    collection: str
    license: str


@dataclass(frozen=True)
class Group:
    """Examples under one heading; `low` and `high` are the interval of a quantile group."""

    low: float | None
    high: float
    share: float | None
    examples: list[Example]


def _trimmed(zones: list[list[Piece]]) -> list[list[Piece]]:
    """Without the blank before the first token of a text."""
    for zone in zones:
        if zone:
            number, words, text = zone[0]
            zone[0] = (number, words, text.removeprefix(" ") or text)
            break
    return zones


def _example(found: Found, number: int, position: int, values: dict[int, float], whole: bool) -> Example:
    row, context = found.row, found.contexts.get(number)
    tokens = context.tokens if context else []
    strongest = row.max_activation
    # the prepended BOS is no part of the text
    start = 1 if found.source.recipe["prepend_bos"] else 0

    def cut(low: int, high: int) -> list[Piece]:
        return pieces(tokens, values, strongest, max(start, low), min(len(tokens), max(start, high)))

    left = [
        cut(0, position - MIDDLE) if whole else [],
        cut(position - MIDDLE, position - NEAR),
        cut(position - NEAR, position),
    ]
    own = values.get(position, 0.0)
    text = token_text(tokens[position]) if position < len(tokens) else ""
    licences = {one["name"]: one["license"] for one in found.source.collections}
    collection = (context.collection if context else None) or ""
    return Example(
        value=own,
        peak=(activation_level(own, strongest), format_value(own), text),
        left=tuple(markup(zone) for zone in _trimmed(left)),
        right=tuple(
            markup(cut(position + 1 + low, position + 1 + high))
            for low, high in ((0, NEAR), (NEAR, MIDDLE), (MIDDLE, len(tokens) if whole else MIDDLE))
        ),
        cut=(position - MIDDLE > start, position + 1 + MIDDLE < len(tokens)),
        title=(context.title if context else None) or "",
        collection=collection,
        license=licences.get(collection, ""),
    )


def groups(found: Found, strongest_shown: int, whole: bool) -> list[Group]:
    """The strongest examples, then the quantile groups; all from strong to weak. Texts `whole`, or up to the middle."""
    row = found.row
    by_group: dict[int, list[Example]] = {}
    places = zip(row.example_groups, row.example_contexts, row.example_positions, row.example_values(), strict=True)
    for group, number, position, values in places:
        shown = by_group.setdefault(group, [])
        if group != TOP_GROUP or len(shown) < strongest_shown:
            shown.append(_example(found, number, position, values, whole))
    top = by_group.pop(TOP_GROUP, [])
    made = [Group(None, row.max_activation, None, top)] if top else []
    intervals = len(row.quantile_shares)
    for group in sorted(by_group, reverse=True):
        low = row.max_activation * (group - 1) / intervals
        high = row.max_activation * group / intervals
        examples = sorted(by_group[group], key=lambda one: -one.value)
        made.append(Group(low, high, row.quantile_shares[group - 1], examples))
    return made


def bars(counts: Sequence[int], low: float, high: float, logarithmic: bool) -> Markup:
    """A histogram's bars in a viewBox of 100 x 70: equal bins from `low` to `high`, as SVG.

    Heights are counts, or their logarithms. Bins right of zero have the class `pos`.
    """
    if not counts or max(counts) <= 0:
        return Markup("")
    scaled = [math.log1p(number) if logarithmic else float(number) for number in counts]
    highest, step = max(scaled), 100 / len(counts)
    width = (high - low) / len(counts)
    made = []
    for i, (number, size) in enumerate(zip(counts, scaled, strict=True)):
        if number == 0:
            continue
        height = max(0.7, 66 * size / highest)
        start = low + i * width
        positive = ' class="pos"' if start + width / 2 >= 0 else ""
        made.append(
            f'<rect{positive} x="{i * step:.2f}" y="{70 - height:.1f}" width="{step * 0.86:.2f}" '
            f'height="{height:.1f}"><title>{format_value(start)} to {format_value(start + width)}: '
            f"{format_count(number)}</title></rect>"
        )
    return Markup("".join(made))


METHODS = {
    "token-statistics": "token statistics, no language model",
    "highlighted-tokens": "by a language model, from marked texts",
    "human": "written by hand",
}
"""What explanation methods are called on pages; others show their own name."""
