"""The feature's activations on the user's own text, as the dashboard shows them."""

from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from memicos_webapp.feature_test.service import Run
from memicos_webapp.formatting import activation_level, format_value, token_text


@dataclass(frozen=True)
class TextPiece:
    """An active token, an ignored token, or a run of inactive ones; `level` is 0 for all but active ones."""

    kind: Literal["active", "ignored", "inactive"]
    text: str
    title: str = ""
    level: int = 0
    is_max: bool = False


def text_pieces(run: Run, feature_max: float) -> list[TextPiece]:
    """The text in pieces. Levels are shares of `feature_max`, the feature's maximum activation in its corpus."""
    ignored = set(run.ignored)

    def kind(position: int) -> Literal["active", "ignored", "inactive"]:
        if position in ignored:
            return "ignored"
        return "active" if run.values[position] > 0 else "inactive"

    pieces = []
    for name, group in groupby(range(len(run.tokens)), key=kind):
        positions = list(group)
        if name == "inactive":
            pieces.append(TextPiece(name, "".join(token_text(run.tokens[i]) for i in positions)))
            continue
        for i in positions:
            value, text = run.values[i], token_text(run.tokens[i])
            if name == "ignored":
                title = f"ignored: the source was not trained on such positions (value {format_value(value)})"
                pieces.append(TextPiece(name, text, title))
            else:
                level = activation_level(value, feature_max)
                pieces.append(TextPiece(name, text, f"{value:.4g}", level, i == run.max_index))
    return pieces
