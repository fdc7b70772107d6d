"""The sources that a configuration names by entries as the inference server's SAE_SETS has them."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memicos_engine.errors import InvalidRequestError, LoadError
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.selftest.compatibility import find_incompatible, neuron_sources
from memicos_engine.sources.source import SaeSource, Source
from memicos_engine.sources.source_candidates import SourceCandidate, with_load_errors
from memicos_engine.sources.source_selection import select_sources
from memicos_engine.sources.source_specs import SourceSelection

from memicos_pipeline.config import ConfigError, GenerateConfig


@dataclass(frozen=True)
class SelectedSource:
    """A loaded source. `weights` identifies its weights without a local path, `sae_config` is its configuration."""

    source: Source
    weights: str
    sae_config: dict[str, Any]


def load_sources(config: GenerateConfig, model: LanguageModel) -> list[SelectedSource]:
    """Load the sources that `source_set.saes` names, in its order and by layer.

    Raises:
        ConfigError: an entry is unknown or cannot be read, or a source does not fit the model.
    """
    selection = SourceSelection(
        sets=tuple(config.source_set.saes),
        models=(config.model.id, config.model.folder),
        device=config.model.device,
        token=os.environ.get("HF_TOKEN"),
    )
    try:
        found = select_sources(selection, lambda description, share: None)
        loaded = [_load(candidate, selection) for candidate in found.candidates]
        if found.include_neurons:
            loaded += [SelectedSource(source, f"neurons of {model.id}", {}) for source in neuron_sources(model)]
    except (LoadError, InvalidRequestError) as error:
        raise ConfigError(f"source_set.saes: {error}") from error
    for reason in find_incompatible(model, [item.source for item in loaded]).values():
        raise ConfigError(f"source_set.saes: {reason}")
    return loaded


def set_id(source_ids: list[str]) -> str:
    """The set that all of the ids belong to: `res-4k` of `15-res-4k` and `23-res-4k__other`.

    Raises:
        ConfigError: they are of different sets.
    """
    sets = {source_id.partition("-")[2].partition("__")[0] or "neurons" for source_id in source_ids}
    if len(sets) > 1:
        raise ConfigError(
            f"source_set.saes: the sources are of the sets {', '.join(sorted(sets))}; a dataset has one, so generate "
            "each into a dataset of its own"
        )
    return sets.pop()


def _load(candidate: SourceCandidate, selection: SourceSelection) -> SelectedSource:
    source = with_load_errors(candidate, candidate.load, selection)
    return SelectedSource(source, candidate.weights, sae_config(source, candidate.folder))


def sae_config(source: Source, folder: Path | None) -> dict[str, Any]:
    """The configuration of a source: `cfg.json` of its folder, else as SAELens has it; empty for neurons."""
    path = folder / "cfg.json" if folder is not None else None
    if path is not None and path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    return json.loads(json.dumps(source.sae.cfg.to_dict(), default=str)) if isinstance(source, SaeSource) else {}
