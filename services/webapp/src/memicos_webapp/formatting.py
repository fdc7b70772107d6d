"""Formats of numbers, tokens and links on pages; every function here, and `quantity`, is a Jinja2 filter."""

import math
import re
import unicodedata
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from markupsafe import Markup, escape
from memicos_dataset.wording import quantity

_CONTROL_CHARACTERS = str.maketrans({"\n": "↵", "\r": "␍", "\t": "⇥", "\0": "␀", "\u2028": "↵", "\u2029": "↵"})

_HOOK_LABELS = {
    "hook_embed": "token embedding",
    "hook_resid_pre": "residual stream before the layer",
    "hook_resid_mid": "residual stream after attention",
    "hook_resid_post": "residual stream",
    "hook_mlp_in": "MLP input",
    "hook_mlp_out": "MLP output",
    "mlp.hook_post": "MLP neurons",
    "hook_attn_out": "attention output",
    "attn.hook_z": "attention heads",
}


def token_text(token: str) -> str:
    """A token with line breaks and tabs as visible signs, so that it stays on its line; spaces alone as ␣."""
    if token and not token.strip(" "):
        return "␣" * len(token)
    return token.translate(_CONTROL_CHARACTERS)


def lone_token_text(token: str) -> str:
    """A token that stands alone: as `token_text`, with a sign for what is seen only beside other characters.

    Invisible characters, such as the joiner (U+200D) in an emoji, are shown as their code point, and a combining mark
    on a dotted circle.
    """
    if token and all(map(_is_invisible, token)):
        return " ".join(f"U+{ord(character):04X}" for character in token)
    text = token_text(token)
    return f"◌{text}" if unicodedata.category(text[:1] or " ").startswith("M") else text


def shaded_token_text(token: str) -> str:
    """A token that is shaded inside a text: as `token_text`; as `lone_token_text` if it has no width of its own, such
    as a joiner or an accent, so that its shading is seen.
    """
    has_no_width = all(
        _is_invisible(character) or unicodedata.category(character) in ("Mn", "Me") for character in token
    )
    return lone_token_text(token) if has_no_width else token_text(token)


def _is_invisible(character: str) -> bool:
    # format characters, and variation selectors, which choose between forms of the character before them
    return unicodedata.category(character) == "Cf" or "\ufe00" <= character <= "\ufe0f"


def format_percent(share: float) -> str:
    """A share (0 to 1) as a percentage with two significant digits: 0.0042 is `0.42%`."""
    percentage = 100 * share
    if percentage == 0:
        return "0%"
    if percentage < 0.001:
        return "<0.001%"
    digits = max(0, min(4, 1 - math.floor(math.log10(percentage))))
    return f"{percentage:.{digits}f}%"


def format_value(number: float) -> str:
    """An activation or logit with three significant digits, with an exponent from a million on."""
    size = abs(number)
    if size >= 1e6:
        return f"{number:.2e}"
    if size >= 100:
        return f"{number:.0f}"
    return f"{number:.1f}" if size >= 10 else f"{number:.2f}"


def format_dollars(amount: float) -> str:
    """US dollars with two significant digits below a cent: `$0.00042`, `$0.12`, `$0`."""
    if amount == 0:
        return "$0"
    if amount >= 0.01:
        return f"${amount:.2f}"
    return f"${amount:.{1 - math.floor(math.log10(amount))}f}"


def format_score(number: float) -> str:
    """A score with two decimals; a negative one, which correlations can be, with a true minus."""
    text = f"{abs(number):.2f}"
    return f"−{text}" if number < 0 and text != "0.00" else text


def format_signed(number: float) -> str:
    """As `format_value`, with a leading sign (a true minus)."""
    return ("+" if number >= 0 else "−") + format_value(abs(number))


def format_count(number: int) -> str:
    """All digits, in groups of three: 1040133 is `1,040,133`."""
    return f"{number:,}"


def url_segment(text: Any) -> str:
    """One segment of a URL's path, percent-encoded."""
    return quote(str(text), safe="")


def hook_label(hook_name: str) -> str:
    """The part of the model that a hook reads; the hook's own name where none is known."""
    for suffix, label in _HOOK_LABELS.items():
        if hook_name.endswith(suffix):
            return label
    return hook_name


def code_spans(message: str) -> Markup:
    """A message as HTML; commands between backticks become `<code>`."""
    parts = re.split(r"`([^`]+)`", message)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if i % 2 else escape(part) for i, part in enumerate(parts)
    )


def without_backticks(message: str) -> str:
    """A message for an attribute such as `title`, which cannot have `<code>`."""
    return message.replace("`", "")


FILTERS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        token_text,
        lone_token_text,
        format_percent,
        format_value,
        format_signed,
        format_score,
        format_dollars,
        format_count,
        quantity,
        url_segment,
        hook_label,
        code_spans,
        without_backticks,
    )
}
