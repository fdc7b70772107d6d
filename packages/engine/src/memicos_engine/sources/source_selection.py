"""Select the sources to serve: every entry of SAE_SETS, filtered, with unique ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memicos_engine.errors import LoadError
from memicos_engine.model import hub
from memicos_engine.sources.source_candidates import (
    SourceCandidate,
    abbreviated_list,
    find_candidates,
    source_folder,
    unreadable_candidate,
)
from memicos_engine.sources.source_specs import SourceSelection, parse_spec


class DuplicateIdError(LoadError):
    """A source has the id of another one."""


@dataclass(frozen=True)
class SelectedSources:
    """Sources found for a SourceSelection.

    `registry_models` are the models of SAELens' directory that own the sets; `include_neurons` says that the model's
    own MLP neurons are selected.
    """

    candidates: list[SourceCandidate]
    registry_models: list[str]
    include_neurons: bool


def select_sources(selection: SourceSelection, on_progress: hub.ProgressCallback) -> SelectedSources:
    """Find the sources of `selection`, in the order of its sets and by layer. Folders of the hub are fetched.

    The sources of a set have the ids `<layer>-<set>`; variants `<layer>-<set>__<variant>` form a set of their own. An
    entry that is invalid or unknown, or cannot be fetched, is a candidate that cannot be read, and so is a source with
    the id of an earlier one (DuplicateIdError). `on_progress` is called while files are fetched.

    Raises:
        LoadError: the patterns exclude every source.
    """
    candidates: list[SourceCandidate] = []
    owners: list[str] = []
    with_neurons = False
    for text in selection.sets:
        try:
            spec = parse_spec(text)
            folder = source_folder(spec, selection, on_progress)
            spec_candidates, owner = find_candidates(spec, selection, folder)
        except LoadError as error:
            candidates.append(unreadable_candidate(text, None, None, error))
            continue
        candidates += spec_candidates
        owners += [owner] if owner else []
        with_neurons = with_neurons or spec.kind == "neurons"
    # an unreadable source is always reported: its id is unknown
    selected = [candidate for candidate in candidates if candidate.error or selection.includes(candidate.id)]
    if candidates and not selected and not with_neurons:
        patterns = f"INCLUDE_SAE={list(selection.include)}, EXCLUDE_SAE={list(selection.exclude)}"
        raise LoadError(
            f"No source is left by {patterns}, of: {abbreviated_list([candidate.id for candidate in candidates])}."
        )
    return SelectedSources(without_duplicates(selected), list(dict.fromkeys(owners)), with_neurons)


def without_duplicates(candidates: Sequence[SourceCandidate]) -> list[SourceCandidate]:
    """The candidates; those with the id of an earlier one cannot be read."""
    locations: dict[str, str] = {}
    result: list[SourceCandidate] = []
    for candidate in candidates:
        if candidate.error is None and candidate.id in locations:
            error = DuplicateIdError(
                f"Two sources have the id {candidate.id}: {locations[candidate.id]} and {candidate.location}. "
                'Give one another name, by {"set": "other-name"} in its memicos.json.'
            )
            candidate = unreadable_candidate(candidate.location, candidate.folder, candidate.repo, error)
        elif candidate.error is None:
            locations[candidate.id] = candidate.location
        result.append(candidate)
    return result


def check_unique_ids(candidates: Sequence[SourceCandidate]) -> None:
    """Raises DuplicateIdError where two candidates that can be read have the same id."""
    for candidate in without_duplicates(candidates):
        if isinstance(candidate.error, DuplicateIdError):
            raise candidate.error
