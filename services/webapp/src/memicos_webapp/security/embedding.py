"""Pages that other sites may show in a frame, with `?embed=true`: those of features, and the search of explanations.

They have no controls that change data. A page of a vector has one: in a frame, a click could be meant for another page.
"""

import re
from urllib.parse import parse_qs

from memicos_webapp.vectors.names import is_vector_source

_FEATURE = re.compile(r"/(?!(?:account|api|static)/)[^/]+/([^/]+)/[0-9]+")
_SEARCH = "/search-explanations"


def is_embedded(path: str, query: str) -> bool:
    """Whether a request is for a page in another site's frame; `path` without the site's prefix."""
    if parse_qs(query).get("embed") != ["true"]:
        return False
    feature = _FEATURE.fullmatch(path)
    return path == _SEARCH or (feature is not None and not is_vector_source(feature[1]))
