"""The feature's activations on the user's own text, as the dashboard shows them."""

from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from memicos_webapp.feature_test.service import TextActivations
from memicos_webapp.formatting import format_value, token_text
from memicos_webapp.token_shading import activation_level, active_token, join_values, token_groups


@dataclass(frozen=True)
class TextPiece:
    """An active token, as HTML, an ignored token with its `title`, or a run of inactive ones."""

    kind: Literal["active", "ignored", "inactive"]
    text: str
    title: str = ""


def text_pieces(run: TextActivations, feature_max: float) -> list[TextPiece]:
    """The text in pieces. Levels are shares of `feature_max`, the feature's maximum activation in its corpus."""
    ignored = set(run.ignored)

    def kind(group: range) -> Literal["active", "ignored", "inactive"]:
        if group[-1] in ignored:
            return "ignored"
        return "active" if any(run.values[position] > 0 for position in group) else "inactive"

    pieces = []
    for name, same_kind in groupby(token_groups(run.tokens, 0, len(run.tokens)), key=kind):
        groups = list(same_kind)
        if name == "inactive":
            pieces.append(TextPiece(name, token_text("".join(run.tokens[group[-1]] for group in groups))))
            continue
        for group in groups:
            values = [run.values[position] for position in group]
            value, text = max(values), token_text(run.tokens[group[-1]])
            if name == "ignored":
                title = f"ignored: values at such positions have no meaning (value {format_value(value)})"
                pieces.append(TextPiece(name, text, title))
            else:
                level = activation_level(value, feature_max)
                joined = join_values(f"{number:.4g}" for number in values)
                pieces.append(TextPiece(name, active_token(level, joined, text, run.max_index in group)))
    return pieces
