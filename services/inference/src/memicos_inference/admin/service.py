"""Sources that come and go. `locate` runs in a thread of its own, the others in the worker's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from memicos_engine.errors import LoadError

from memicos_inference import loading
from memicos_inference.admin import roots
from memicos_inference.admin.schemas import AddSourcesResponse, RemoveSourceResponse
from memicos_inference.errors import BadInput, Fault
from memicos_inference.serving import Served
from memicos_inference.settings import Settings

if TYPE_CHECKING:  # imports torch
    from memicos_engine.selection import Spec


@dataclass(frozen=True)
class Located:
    """An entry that may be added, and the folder that its files are in, where it names one."""

    spec: Spec
    folder: Path | None


def locate(settings: Settings, text: str) -> Located:
    """Fetches what is the hub's."""
    from memicos_engine import selection

    try:
        spec = selection.parse(text)
        roots.check_entry(settings, spec)
        return Located(spec, selection.locate(spec, loading.wanted(settings, settings.device), _unreported))
    except LoadError as error:
        raise BadInput(str(error)) from error


def add(served: Served, located: Located) -> bytes:
    """All of an entry's sources, or none: with the checks of the start."""
    from memicos_engine import selection

    settings, spec = served.settings, located.spec
    # who names a source wants it, whatever the patterns of the start are
    wanted = replace(loading.wanted(settings, str(served.model.device)), include=(), exclude=())
    try:
        candidates, _ = selection.find(spec, wanted, located.folder)
        selection.check_ids(candidates)
        for one in candidates:
            roots.check_candidate(settings, one)
        stored, broken = loading.known(candidates, wanted, _unreported)
        if spec.kind == "neurons":
            stored += loading.neurons(served.model, wanted)
        _, wrong = loading.fitting(settings, served.model, stored)
    except LoadError as error:
        raise BadInput(str(error)) from error
    if broken or wrong:
        raise BadInput(" ".join((broken | wrong).values()))
    for one in stored:
        if one.facts.id in served.shelf.ids:
            raise BadInput(f"Source {one.facts.id} is served already, from {served.shelf.place(one.facts.id)}.")
    for one in stored:
        served.shelf.add(one)
    return AddSourcesResponse(added=[one.facts.id for one in stored]).model_dump_json().encode()


def remove(served: Served, source_id: str) -> bytes:
    try:
        served.shelf.remove(source_id)
    except KeyError:
        raise Fault(404, "not_found", f"There is no source {source_id}.") from None
    return RemoveSourceResponse(removed=source_id).model_dump_json().encode()


def _unreported(words: str, share: float) -> None:
    """Who asked waits for the answer."""
