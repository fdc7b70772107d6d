"""Pages that other sites may show in a frame, with `?embed=true`: those of features, and the search of explanations."""

import re
from urllib.parse import parse_qs

_PAGES = re.compile(r"/(?!account/)[^/]+/[^/]+/[0-9]+|/search-explanations")


def is_embedded(path: str, query: str) -> bool:
    """Whether a request is for a page in another site's frame; `path` without the site's prefix."""
    return parse_qs(query).get("embed") == ["true"] and _PAGES.fullmatch(path) is not None
