"""File formats of sources: one module for each, and the table of all."""

from __future__ import annotations

from pathlib import Path

from memicos_engine.errors import SourceError
from memicos_engine.sources.formats import dictionary_learning, gemma_scope, openai, saelens, sparsify, tensors
from memicos_engine.sources.formats.base import Format
from memicos_engine.sources.recipe import RecipeOverrides

FORMATS: dict[str, Format] = {
    module.FORMAT.name: module.FORMAT
    # in the order in which they are tried; the user's own mapping (memicos.json) comes first
    for module in (tensors, sparsify, saelens, gemma_scope, dictionary_learning, openai)
}


def detect_format(folder: Path, overrides: RecipeOverrides, name: str | None = None) -> tuple[Format, Path]:
    """The format of a source's folder and its file of weights. With `name` only that format is tried.

    Raises:
        SourceError: there is no such folder, or its files match no format or not that one.
    """
    if not folder.is_dir():
        raise SourceError(f"there is no folder {folder}")
    for file_format in FORMATS.values() if name is None else (FORMATS[name],):
        weights = file_format.find_weights(folder, overrides)
        if weights is not None:
            return file_format, weights
    descriptions = "; ".join(
        f"{file_format.name}: {file_format.files}"
        for file_format in FORMATS.values()
        if name in (None, file_format.name)
    )
    raise SourceError(f"{folder} holds no source ({descriptions})")
