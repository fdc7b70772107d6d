"""Text with each active token shaded by its activation.

`static/token-shading.css` has the colours of the levels, `templates/shared/token_shading.html` the legend.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import NamedTuple

from markupsafe import Markup

from memicos_webapp.formatting import format_value, shaded_token_text, token_text

LEVELS = 9
"""Background levels of an active token."""


class Piece(NamedTuple):
    """An active token, all tokens of an active character, or a run of tokens that are not active."""

    level: int
    """Activation level 0..9; 0 is not active."""
    values: str
    """Activations as `join_values` writes them."""
    text: str
    mark: str = ""
    """Classes of an attributed token, such as `d4`, and `target` for the token that attributions add up to."""
    attributions: str = ""
    """Attributions as `join_values` writes them."""


@dataclass(frozen=True)
class TokenAttributions:
    """Direct feature attribution of each token of a text to the activation at position `target`, if that is known."""

    values: Sequence[float]
    target: int | None

    @cached_property
    def largest(self) -> float:
        return max(self.values)

    def mark(self, group: range) -> str:
        """Classes of a group of tokens: `d1` (faint) to `d9` by its share of the largest attribution, if it has one."""
        largest, own = self.largest, max(self.values[position] for position in group)
        level = round(LEVELS * own / largest) if largest > 0 else 0
        target = "target" if self.target is not None and self.target in group else ""
        return " ".join(filter(None, (f"d{level}" if level > 0 else "", target)))


_SEPARATOR = ", "


def activation_level(activation: float, maximum: float) -> int:
    """Background level 1 (faint) to 9 of an active token: its share of `maximum`, in equal steps; 9 from there on."""
    if maximum <= 0:
        return 1
    return min(LEVELS, max(1, round(LEVELS * activation / maximum)))


def pieces(
    tokens: Sequence[str],
    values: Mapping[int, float],
    feature_max: float,
    start: int,
    end: int,
    attributions: TokenAttributions | None = None,
) -> list[Piece]:
    """Tokens `start` to `end` (exclusive) as pieces: one for each active group, one for each run of other tokens.

    A group is one token, or all tokens of a character; it is shaded by its largest activation, and has each of them.
    `values` has position -> activation of the active tokens. Levels are shares of `feature_max`. Groups that
    `attributions` marks are pieces too, active or not.
    """
    result: list[Piece] = []
    inactive: list[str] = []
    for group in token_groups(tokens, start, end):
        activations = [values.get(position, 0.0) for position in group]
        mark = attributions.mark(group) if attributions else ""
        active = any(position in values for position in group)
        if not active and not mark:
            inactive.append(tokens[group[-1]])
            continue
        if inactive:
            result.append(Piece(0, "", token_text("".join(inactive))))
            inactive = []
        level = activation_level(max(activations), feature_max) if active else 0
        shown = join_values(map(format_value, activations)) if active else ""
        attributed = join_values(format_value(attributions.values[i]) for i in group) if attributions else ""
        result.append(Piece(level, shown, shaded_token_text(tokens[group[-1]]), mark, attributed))
    if inactive:
        result.append(Piece(0, "", token_text("".join(inactive))))
    return result


def token_groups(tokens: Sequence[str], start: int, end: int) -> list[range]:
    """The groups whose last token is at `start` to `end` (exclusive), as ranges of positions.

    A token without text is part of the character that the next token with text completes; both are in one group.
    """
    if start >= end:
        return []
    first = start
    while first > 0 and not tokens[first - 1]:
        first -= 1
    groups: list[range] = []
    for position in range(start, end):
        if tokens[position] or position == len(tokens) - 1:
            groups.append(range(first, position + 1))
            first = position + 1
    return groups


def join_values(values: Iterable[str]) -> str:
    """The value of a token, or those of all tokens of a character."""
    return _SEPARATOR.join(values)


def is_right_to_left(text: str) -> bool:
    """Whether the first character of `text` that has a direction is of a script written from right to left."""
    if text.isascii():
        return False
    strong = (kind for kind in map(unicodedata.bidirectional, text) if kind in ("L", "R", "AL"))
    return next(strong, "L") != "L"


def active_token(
    level: int, values: str, text: str, is_max: bool = False, mark: str = "", attributions: str = ""
) -> Markup:
    """An active token, or all tokens of a character, as HTML: shaded by `level`, with `values` as its title.

    The title of several tokens says what the values are; keyboard and touch reach it, and `data-values` has the values
    alone. The class `rtl` is for text that is written from right to left, `max` for the strongest token of a text.
    With `attributions` the title has these too, and the token the classes of `mark`.
    """
    classes = f"a{level}{' max' if is_max else ''}{' rtl' if is_right_to_left(text) else ''}"
    if attributions:
        of_token = f"activation {values}, attribution {attributions}" if values else f"attribution {attributions}"
        classes = f"{classes} {mark}".rstrip()
        return Markup(f'<i class="{classes}" title="{of_token}" data-values="{values}">{escape(text)}</i>')
    count = values.count(_SEPARATOR) + 1
    if count == 1:
        return Markup(f'<i class="{classes}" title="{values}">{escape(text)}</i>')
    title = f"{count} tokens of one character: {values}"
    return Markup(f'<i class="{classes}" title="{title}" data-values="{values}" tabindex="0">{escape(text)}</i>')


def markup(run: Sequence[Piece]) -> Markup:
    """Pieces as HTML; built here because a template takes several times as long."""
    return Markup("".join(piece_markup(piece) if piece.level or piece.mark else escape(piece.text) for piece in run))


def piece_markup(piece: Piece) -> Markup:
    """An active or an attributed piece as HTML."""
    return active_token(piece.level, piece.values, piece.text, mark=piece.mark, attributions=piece.attributions)
