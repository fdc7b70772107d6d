"""Adding and removing sources while the server runs.

`find_sources` runs in a worker thread, because it downloads; the other functions run in the model's thread.
"""

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
from memicos_inference.status.published import PublishedCapabilities

if TYPE_CHECKING:  # imports torch
    from memicos_engine.sources.source_cache import CacheEntry
    from memicos_engine.sources.source_specs import SourceSelection


@dataclass(frozen=True)
class FoundSources:
    """Sources of an entry that may be added. `neurons`: the entry stands for the model's own neurons."""

    entries: list[CacheEntry]
    neurons: bool
    selection: SourceSelection


def find_sources(settings: Settings, text: str) -> FoundSources:
    """Read the sources of an entry; those of the hub are downloaded.

    Raises:
        BadInput: an unknown entry, or a source that cannot be read.
        Forbidden: a folder or repository outside INFERENCE_SAE_ROOTS.
    """
    from memicos_engine.sources import source_candidates, source_selection, source_specs

    # INCLUDE_SAE and EXCLUDE_SAE select sources at the start only
    selection = replace(
        model_loading.source_selection(settings, model_loading.pick_device(settings.device)), include=(), exclude=()
    )
    try:
        spec = source_specs.parse_spec(text)
        roots.check_entry(settings, spec)
        candidates, _ = source_candidates.find_candidates(
            spec, selection, source_candidates.source_folder(spec, selection, _ignore_progress)
        )
        source_selection.check_unique_ids(candidates)
        for candidate in candidates:
            roots.check_candidate(settings, candidate)
        entries, errors = model_loading.read_source_info(candidates, selection, _ignore_progress)
    except LoadError as error:
        raise BadInput(str(error)) from error
    if errors:
        raise BadInput(" ".join(errors.values()))
    return FoundSources(entries, spec.kind == "neurons", selection)


def add(loaded: LoadedModel, prepared: FoundSources, capabilities: PublishedCapabilities) -> bytes:
    """Add all sources of an entry, or none. Raises BadInput where one does not fit or has an id that is in use."""
    try:
        new = model_loading.neurons(loaded.model, prepared.selection) if prepared.neurons else prepared.entries
        _, incompatible = model_loading.split_compatible(loaded.settings, loaded.model, new)
    except LoadError as error:
        raise BadInput(str(error)) from error
    if incompatible:
        raise BadInput(" ".join(incompatible.values()))
    for entry in new:
        source_id = entry.info.id
        if source_id in loaded.source_cache.ids:
            raise BadInput(f"Source {source_id} is served already, from {loaded.source_cache.location(source_id)}.")
    for entry in new:
        loaded.source_cache.add(entry)
    capabilities.update(loaded)
    return AddSourcesResponse(added=[entry.info.id for entry in new]).model_dump_json().encode()


def remove(loaded: LoadedModel, source_id: str, capabilities: PublishedCapabilities) -> bytes:
    """Remove a source and its verification. Raises a 404 Fault where there is none of that id."""
    try:
        loaded.source_cache.remove(source_id)
        if loaded.verification:
            loaded.verification.forget_source(source_id)
    except KeyError:
        raise Fault(404, "not_found", f"There is no source {source_id}.") from None
    capabilities.update(loaded)
    return RemoveSourceResponse(removed=source_id).model_dump_json().encode()


def _ignore_progress(text: str, share: float) -> None:
    """The response reports nothing but the result."""
