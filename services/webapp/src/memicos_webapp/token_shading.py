"""Text with each active token shaded by its activation; `templates/shared/token_shading.html` has the legend."""

from collections.abc import Mapping, Sequence
from html import escape

from markupsafe import Markup

from memicos_webapp.formatting import activation_level, format_value, token_text

Piece = tuple[int, str, str]
"""(activation level 0..9, formatted activation, text); level 0 is a run of tokens that are not active."""


def pieces(tokens: Sequence[str], values: Mapping[int, float], feature_max: float, start: int, end: int) -> list[Piece]:
    """Tokens `start` to `end` (exclusive) as pieces: one for each active token, one for each run of others.

    `values` has position -> activation of the active tokens. Levels are shares of `feature_max`.
    """
    cut: list[Piece] = []
    after = start
    for position in sorted(i for i in values if start <= i < end):
        if position > after:
            cut.append((0, "", token_text("".join(tokens[after:position]))))
        activation = values[position]
        level = activation_level(activation, feature_max)
        cut.append((level, format_value(activation), token_text(tokens[position])))
        after = position + 1
    if after < end:
        cut.append((0, "", token_text("".join(tokens[after:end]))))
    return cut


def markup(run: Sequence[Piece]) -> Markup:
    """Pieces as HTML; built here because a template takes several times as long."""
    return Markup(
        "".join(
            f'<i class="a{level}" title="{activation}">{escape(text)}</i>' if level else escape(text)
            for level, activation, text in run
        )
    )
