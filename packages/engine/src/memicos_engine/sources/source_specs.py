"""Entries of SAE_SETS and the selection of sources to serve.

An entry is a set's name, `saelens:<release>[/<sae_id>]`, `path:<folder>`, `hf:<owner>/<name>[/<folder>]` or `neurons`.
A folder may be followed by `@<format>` where its files do not identify the format.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from memicos_engine.errors import LoadError
from memicos_engine.sources.formats import FORMATS
from memicos_engine.sources.source import NEURON_ARCHITECTURE
from memicos_engine.user_paths import user_path

_REPO = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class SourceSpec:
    """A parsed entry of SAE_SETS.

    `name` is the set's name, the folder, `<owner>/<repository>[/<folder>]`, or SAELens' `<release>[/<sae_id>]`;
    `format` is one of FORMATS, or None.
    """

    text: str
    kind: Literal["set", "saelens", "path", "hf", "neurons"]
    name: str
    format: str | None

    @property
    def repo(self) -> str | None:
        """The hub repository `<owner>/<name>` of an `hf:` entry."""
        return "/".join(self.name.split("/")[:2]) if self.kind == "hf" else None

    @property
    def folder(self) -> Path | None:
        """The folder of a `path:` entry, which may be missing."""
        return user_path(self.name) if self.kind == "path" else None


@dataclass(frozen=True)
class SourceSelection:
    """Which sources to serve: those of `sets` for the model, filtered by id.

    `sets` are entries of SAE_SETS; `models` are names of the model; `folder` is SAE_FOLDER, which holds local sets;
    `include` and `exclude` are regular expressions searched for in a source's id; `device` and `dtype` say how sources
    are loaded; `token` is that of the hub.
    """

    sets: tuple[str, ...]
    models: tuple[str, ...]
    folder: Path | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    device: str = "cpu"
    dtype: str = "float32"
    token: str | None = None

    def includes(self, source_id: str) -> bool:
        """Whether a source's id passes `include` and `exclude`."""
        included = not self.include or any(re.search(pattern, source_id) for pattern in self.include)
        return included and not any(re.search(pattern, source_id) for pattern in self.exclude)


def parse_spec(text: str) -> SourceSpec:
    """Parse an entry of SAE_SETS.

    Raises:
        LoadError: the entry has an unknown format, is not of a known kind, or names a folder by what is no path.
    """
    name, at, format_name = text.rpartition("@")
    if not at or "/" in format_name:
        name, format_name = text, ""
    elif format_name not in FORMATS:
        raise LoadError(f"{text}: there is no format {format_name}, only {', '.join(FORMATS)}.")
    kind, colon, rest = name.partition(":")
    if colon and kind == "path" and rest:
        user_path(rest)
        return SourceSpec(text, "path", rest, format_name or None)
    if colon and kind == "saelens" and rest:
        return SourceSpec(text, "saelens", rest, format_name or None)
    if colon and kind == "hf":
        parts = rest.strip("/").split("/")
        if len(parts) < 2 or not _REPO.fullmatch("/".join(parts[:2])) or any(part in ("", ".", "..") for part in parts):
            raise LoadError(
                f"{text}: after hf: comes a repository of the hub, as hf:owner/name or hf:owner/name/folder."
            )
        return SourceSpec(text, "hf", "/".join(parts), format_name or None)
    if colon or not name:
        raise LoadError(
            f"{text!r} is no source set: there are a set's name, saelens:<release>, path:<folder>, hf:<owner>/<name>, "
            "neurons."
        )
    return SourceSpec(text, "neurons" if name == NEURON_ARCHITECTURE else "set", name, format_name or None)
