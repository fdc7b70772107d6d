"""How numbers, tokens and links are written on pages; every function here is a Jinja2 filter."""

import math
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

_VISIBLE = str.maketrans({"\n": "↵", "\r": "␍", "\t": "⇥", "\0": "␀", "\u2028": "↵", "\u2029": "↵"})


def visible(token: str) -> str:
    """A token's text with line breaks and tabs as signs, so that it stays on its line; blanks alone as ␣."""
    if token and not token.strip(" "):
        return "␣" * len(token)
    return token.translate(_VISIBLE)


def percent(share: float) -> str:
    """A share of 1 as percent with two significant digits: 0.0042 is `0.42%`."""
    value = 100 * share
    if value == 0:
        return "0%"
    if value < 0.001:
        return "<0.001%"
    digits = max(0, min(4, 1 - math.floor(math.log10(value))))
    return f"{value:.{digits}f}%"


def value(number: float) -> str:
    """An activation or logit with three significant digits, never in exponents."""
    size = abs(number)
    if size >= 100:
        return f"{number:.0f}"
    return f"{number:.1f}" if size >= 10 else f"{number:.2f}"


def signed(number: float) -> str:
    """As `value`, with a sign before it (a true minus)."""
    return ("+" if number >= 0 else "−") + value(abs(number))


def count(number: int) -> str:
    """12604 is `12,604`; 3040256 is `3.0M`."""
    return f"{number / 1e6:.1f}M" if number >= 1_000_000 else f"{number:,}"


def segment(text: Any) -> str:
    """One segment of a URL's path."""
    return quote(str(text), safe="")


def shade(activation: float, strongest: float) -> int:
    """Shade 1 (faint) to 9 of an active token, linear in its share of the feature's strongest activation."""
    if strongest <= 0:
        return 1
    return min(9, max(1, round(9 * activation / strongest)))


def place(hook_name: str) -> str:
    """Where in the model a hook reads, in words; the hook's own name where there are none."""
    words = {
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
    for suffix, text in words.items():
        if hook_name.endswith(suffix):
            return text
    return hook_name


FILTERS: dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (visible, percent, value, signed, count, segment, shade, place)
}
