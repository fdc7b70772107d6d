"""Rules for names of models, releases, sets and sources, which are segments of URLs."""

import re

from memicos_webapp.vectors.names import SET_PREFIX

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

RESERVED = {
    "account",
    "api",
    "api-doc",
    "explanation-type",
    "explanations",
    "health",
    "inference",
    "jump",
    "score-type",
    "scores",
    "search",
    "search-explanations",
    "search-topk-by-token",
    "static",
    "steer",
    "vectors",
}
"""First or second segments of the webapp's own pages."""


def check_name(name: str) -> str | None:
    """The problem with a name; None where it is valid."""
    if not NAME.fullmatch(name):
        return f"{name!r} is not a valid name: use up to 128 letters, digits, '.', '_' and '-', first a letter or digit"
    if name in RESERVED:
        return f"{name!r} is reserved for a page of the webapp"
    if name.startswith(SET_PREFIX):
        return f"{name!r} is reserved: names that begin with {SET_PREFIX!r} are of vectors that users upload"
    return None
