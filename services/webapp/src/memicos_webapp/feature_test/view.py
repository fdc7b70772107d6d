"""A run of the user's own text as the dashboard shows it."""

from dataclasses import dataclass
from itertools import groupby

from memicos_webapp.feature_test.service import Run
from memicos_webapp.formatting import activation_level, format_value, token_text


@dataclass(frozen=True)
class Token:
    """One active token, one ignored token, or (`kind` "rest") a run of inactive ones."""

    kind: str
    text: str
    title: str
    shade: int
    strongest: bool


def tokens(run: Run, strongest: float) -> list[Token]:
    """The text in pieces, shaded by their share of `strongest`, the feature's maximum in its corpus."""
    ignored = set(run.ignored)

    def kind(position: int) -> str:
        if position in ignored:
            return "off"
        return "on" if run.values[position] > 0 else "rest"

    made = []
    for name, group in groupby(range(len(run.tokens)), key=kind):
        positions = list(group)
        if name == "rest":
            text = "".join(token_text(run.tokens[i]) for i in positions)
            made.append(Token("rest", text, "", 0, False))
            continue
        for i in positions:
            number = run.values[i]
            if name == "off":
                title = f"not counted: the source was not trained on such positions (value {format_value(number)})"
                made.append(Token("off", token_text(run.tokens[i]), title, 0, False))
            else:
                level = activation_level(number, max(strongest, run.max_value))
                made.append(Token("on", token_text(run.tokens[i]), f"{number:.4g}", level, i == run.max_index))
    return made
