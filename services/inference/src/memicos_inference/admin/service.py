"""Sources that come and go. `prepare` runs in a thread of its own, the others in the model's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from memicos_engine.errors import LoadError

from memicos_inference import model_loading
from memicos_inference.admin import roots
from memicos_inference.admin.schemas import AddSourcesResponse, RemoveSourceResponse
from memicos_inference.http.errors import BadInput, Fault
from memicos_inference.loaded_model import LoadedModel
from memicos_inference.settings import Settings

if TYPE_CHECKING:  # imports torch
    from memicos_engine.sources.source_cache import CacheEntry
    from memicos_engine.sources.source_specs import SourceSelection


@dataclass(frozen=True)
class FoundSources:
    """The sources of an entry, which may be added. `neurons`: the model's own are meant."""

    stored: list[CacheEntry]
    neurons: bool
    wanted: SourceSelection


def find_sources(settings: Settings, text: str) -> FoundSources:
    """What the entry's sources are; fetches what is the hub's."""
    from memicos_engine.sources import source_candidates, source_selection, source_specs

    # who names a source wants it, whatever the patterns of the start are
    wanted = replace(
        model_loading.source_selection(settings, model_loading.pick_device(settings.device)), include=(), exclude=()
    )
    try:
        spec = source_specs.parse_spec(text)
        roots.check_entry(settings, spec)
        candidates, _ = source_candidates.find_candidates(
            spec, wanted, source_candidates.source_folder(spec, wanted, _unreported)
        )
        source_selection.check_unique_ids(candidates)
        for one in candidates:
            roots.check_candidate(settings, one)
        stored, broken = model_loading.read_source_info(candidates, wanted, _unreported)
    except LoadError as error:
        raise BadInput(str(error)) from error
    if broken:
        raise BadInput(" ".join(broken.values()))
    return FoundSources(stored, spec.kind == "neurons", wanted)


def add(loaded: LoadedModel, prepared: FoundSources) -> bytes:
    """All of an entry's sources, or none."""
    try:
        new = model_loading.neurons(loaded.model, prepared.wanted) if prepared.neurons else prepared.stored
        _, wrong = model_loading.split_compatible(loaded.settings, loaded.model, new)
    except LoadError as error:
        raise BadInput(str(error)) from error
    if wrong:
        raise BadInput(" ".join(wrong.values()))
    for one in new:
        if one.info.id in loaded.source_cache.ids:
            raise BadInput(f"Source {one.info.id} is served already, from {loaded.source_cache.location(one.info.id)}.")
    for one in new:
        loaded.source_cache.add(one)
    return AddSourcesResponse(added=[one.info.id for one in new]).model_dump_json().encode()


def remove(loaded: LoadedModel, source_id: str) -> bytes:
    try:
        loaded.source_cache.remove(source_id)
        if loaded.verification:
            loaded.verification.forget_source(source_id)
    except KeyError:
        raise Fault(404, "not_found", f"There is no source {source_id}.") from None
    return RemoveSourceResponse(removed=source_id).model_dump_json().encode()


def _unreported(words: str, share: float) -> None:
    """Who asked waits for the answer."""
