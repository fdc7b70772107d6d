"""File formats of sources: one module for each, and the table of all."""

from __future__ import annotations

from pathlib import Path

from memicos_engine.errors import SourceError
from memicos_engine.sources.formats import (
    circuit_tracer,
    dictionary_learning,
    gemma_scope,
    gemma_scope_2,
    goodfire,
    llama_scope,
    openai,
    saelens,
    sparsify,
    tensors,
    vectors,
)
from memicos_engine.sources.formats.base import Format
from memicos_engine.sources.formats.unsupported_layouts import check_layout
from memicos_engine.sources.recipe import RecipeOverrides

FORMATS: dict[str, Format] = {
    module.FORMAT.name: module.FORMAT
    # in the order in which they are tried; the user's own mapping (memicos.json) comes first
    for module in (
        tensors,
        sparsify,
        saelens,
        gemma_scope,
        gemma_scope_2,
        llama_scope,
        dictionary_learning,
        circuit_tracer,
        goodfire,
        openai,
        vectors,
    )
}


def source_locations(folder: Path, overrides: RecipeOverrides, name: str | None = None) -> list[Path]:
    """Where the sources in a folder are: the folder itself, or its files of weights, one for each source.

    With `name` only that format is tried. Empty where the folder holds no source; folders in it are not searched.

    Raises:
        SourceError: the folder is in a known layout that is not served, or several sources cannot be told apart.
    """
    if overrides.weights is None:
        check_layout(folder)
    for file_format in _formats(name):
        if file_format.find_weights(folder, overrides) is not None:
            return [folder]
        if files := file_format.list_weights(folder):
            return files
    return []


def detect_format(location: Path, overrides: RecipeOverrides, name: str | None = None) -> tuple[Format, Path]:
    """The format and the file of weights of a source at a location as `source_locations` returns it.

    Raises:
        SourceError: there is no such location, its files match no format or not that one, or it holds several sources.
    """
    if location.is_file():
        for file_format in _formats(name):
            if location in file_format.list_weights(location.parent):
                return file_format, location
        raise SourceError(f"{location} is not a source ({describe_formats(name)})")
    if not location.is_dir():
        raise SourceError(f"there is no folder {location}")
    locations = source_locations(location, overrides, name)
    if len(locations) > 1:
        raise SourceError(f"{location} holds {len(locations)} sources; name the folder by path: to add all of them")
    if locations and locations[0] != location:
        return detect_format(locations[0], overrides, name)
    for file_format in _formats(name) if locations else ():
        weights = file_format.find_weights(location, overrides)
        if weights is not None:
            return file_format, weights
    raise SourceError(f"{location} holds no source ({describe_formats(name)})")


def describe_formats(name: str | None = None) -> str:
    """The files of each format, or of the one with this name, for messages."""
    return "; ".join(f"{file_format.name}: {file_format.files}" for file_format in _formats(name))


def _formats(name: str | None) -> list[Format]:
    return list(FORMATS.values()) if name is None else [FORMATS[name]]
