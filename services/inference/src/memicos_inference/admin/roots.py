"""Who may add sources while the server runs, and from where."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from memicos_inference.http.errors import Forbidden
from memicos_inference.settings import Settings

if TYPE_CHECKING:  # imports torch
    from memicos_engine.sources.source_candidates import SourceCandidate
    from memicos_engine.sources.source_specs import SourceSpec

HUB = "hf:"


def check_secret(settings: Settings) -> None:
    """That the right one is given was seen to before. Raises Forbidden where there is none."""
    if settings.secret is None:
        raise Forbidden("Sources are added and removed by whoever has the secret: set INFERENCE_SECRET and restart.")


def check_entry(settings: Settings, spec: SourceSpec) -> None:
    """Raises Forbidden where a folder or repository is named that sources may not come from."""
    if spec.kind == "path":
        _check_folder(settings, Path(spec.name).expanduser())
    if spec.kind == "hf":
        _check_repository(settings, spec.name)


def check_candidate(settings: Settings, one: SourceCandidate) -> None:
    """The same for a source that a set has."""
    if one.repo is not None:
        _check_repository(settings, one.repo)
    elif one.folder is not None:
        _check_folder(settings, one.folder)


def _check_folder(settings: Settings, folder: Path) -> None:
    """Also for what lies in the folder, and in those in it: a link leads where it leads."""
    roots = [Path(one).expanduser().resolve() for one in settings.sae_roots if not one.startswith(HUB)]
    for place in (folder, *folder.glob("*"), *folder.glob("*/*")):
        found = place.resolve()
        if not any(found.is_relative_to(root) for root in roots):
            raise Forbidden(f"{place} is in no folder that sources may be added from (INFERENCE_SAE_ROOTS).")


def _check_repository(settings: Settings, name: str) -> None:
    allowed = [one.removeprefix(HUB).strip("/") for one in settings.sae_roots if one.startswith(HUB)]
    if not any(name == one or name.startswith(f"{one}/") for one in allowed if one):
        raise Forbidden(f"{HUB}{name} is of no repository that sources may be added from (INFERENCE_SAE_ROOTS).")
