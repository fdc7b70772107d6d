"""The layouts of files that sources come in: one module each, and the table that they are looked up in."""

from __future__ import annotations

from pathlib import Path

from memicos_engine.errors import SourceError
from memicos_engine.sources.formats import dictionary_learning, gemma_scope, openai, saelens, sparsify, tensors
from memicos_engine.sources.formats.base import Format
from memicos_engine.sources.recipe import RecipeOverrides

FORMATS: dict[str, Format] = {
    module.FORMAT.name: module.FORMAT
    # in the order that a folder is tried in: what the user wrote himself comes first
    for module in (tensors, sparsify, saelens, gemma_scope, dictionary_learning, openai)
}


def detect_format(folder: Path, extras: RecipeOverrides, name: str | None = None) -> tuple[Format, Path]:
    """The format of a source's folder, the one of that `name` if given, and its file of weights.

    Raises:
        SourceError: the folder is in no format, or not in that one.
    """
    if not folder.is_dir():
        raise SourceError(f"there is no folder {folder}")
    for form in FORMATS.values() if name is None else (FORMATS[name],):
        weights = form.find_weights(folder, extras)
        if weights is not None:
            return form, weights
    known = "; ".join(f"{form.name}: {form.files}" for form in FORMATS.values() if name in (None, form.name))
    raise SourceError(f"{folder} holds no source ({known})")
