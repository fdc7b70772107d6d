"""Names of models, releases, sets and sources: they are segments of URLs."""

import re

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

RESERVED = {
    "account",
    "api",
    "api-doc",
    "explanations",
    "health",
    "inference",
    "jump",
    "search",
    "search-explanations",
    "search-topk-by-token",
    "static",
    "steer",
}
"""First or second segments of the webapp's own pages."""


def check_name(name: str) -> str | None:
    """What is wrong with a name, or None."""
    if not NAME.fullmatch(name):
        return f"{name!r} is no name: use up to 128 letters, digits, '.', '_' and '-', first a letter or digit"
    if name in RESERVED:
        return f"{name!r} is the address of a page here and cannot be a name"
    return None
