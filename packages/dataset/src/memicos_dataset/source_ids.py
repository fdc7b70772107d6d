"""Ids of sources: which source set and layer an id belongs to."""

import re

NEURONS_SET = "neurons"
"""The set of a model's raw neurons, whose source ids are bare layer numbers."""
EMBEDDINGS = "e"
"""Stands for the layer number in ids of sources on the token embeddings."""

_ID = re.compile(r"(?P<layer>\d{1,4}|e)(?:-(?P<set>.+))?", re.ASCII)


def check_source_id(source_id: str, set_id: str, layer: int) -> str | None:
    """Describe what is wrong with a source id, or return None.

    A source of set `res-4k` is named `15-res-4k` or, as a variant, `15-res-4k__<variant>`; `e-res-4k` is on the token
    embeddings. Sources of the set `neurons` are named by bare layer numbers.
    """
    match = _ID.fullmatch(source_id)
    expected = f"<layer>-{set_id}, <layer>-{set_id}__<variant> or {EMBEDDINGS}-{set_id}"
    if set_id == NEURONS_SET:
        expected = "<layer>"
    named_set = match["set"] if match else None
    if match is None or not _is_of_set(named_set, set_id):
        return f"source {source_id!r} does not belong to set {set_id!r}: its id must be {expected}"
    if match["layer"] != EMBEDDINGS and int(match["layer"]) != layer:
        return f"source {source_id!r} names layer {int(match['layer'])}, and its entry says layer {layer}"
    return None


def _is_of_set(named_set: str | None, set_id: str) -> bool:
    if named_set is None or set_id == NEURONS_SET:
        return named_set is None and set_id == NEURONS_SET
    return named_set == set_id or named_set.startswith(f"{set_id}__")
