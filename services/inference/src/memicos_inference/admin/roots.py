"""Permissions to add sources while the server runs: the secret, and the allowed folders and repositories."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from memicos_engine.user_paths import check_readable, real_path, shortened, user_path

from memicos_inference.http.errors import Forbidden
from memicos_inference.settings import Settings

if TYPE_CHECKING:  # imports torch
    from memicos_engine.sources.source_candidates import SourceCandidate
    from memicos_engine.sources.source_specs import SourceSpec

HUB = "hf:"


def check_secret(settings: Settings) -> None:
    """Raises Forbidden where no secret is set. The middleware has compared the request's secret before."""
    if settings.secret is None:
        raise Forbidden("Adding and removing sources requires a secret: set INFERENCE_SECRET and restart.")


def check_entry(settings: Settings, spec: SourceSpec) -> None:
    """Check the folder or repository of an entry.

    Raises:
        Forbidden: it is not in INFERENCE_SAE_ROOTS.
        LoadError: the folder is in there, but cannot be looked up.
    """
    if (folder := spec.folder) is not None:
        _check_folder(settings, folder)
    if spec.kind == "hf":
        _check_repository(settings, spec.name)


def check_candidate(settings: Settings, candidate: SourceCandidate) -> None:
    """Raises Forbidden where a source of a set comes from a place that is not in INFERENCE_SAE_ROOTS."""
    if candidate.repo is not None:
        _check_repository(settings, candidate.repo)
    elif candidate.folder is not None:
        _check_folder(settings, candidate.folder)


def _check_folder(settings: Settings, folder: Path) -> None:
    """Check the folder and its contents to a depth of three, because links in it may lead elsewhere."""
    roots = [real_path(user_path(root)) for root in settings.sae_roots if not root.startswith(HUB)]

    def check(path: Path) -> None:
        target = real_path(path)
        if not any(target.is_relative_to(root) for root in roots):
            name = shortened(str(path))
            raise Forbidden(f"{name} is in no folder that sources may be added from (INFERENCE_SAE_ROOTS).")

    check(folder)
    # after it: whether other folders exist is not revealed
    check_readable(folder)
    # lazily: the folder may be large
    for path in chain(folder.glob("*"), folder.glob("*/*"), folder.glob("*/*/*")):
        check(path)


def _check_repository(settings: Settings, name: str) -> None:
    allowed = [root.removeprefix(HUB).strip("/") for root in settings.sae_roots if root.startswith(HUB)]
    if not any(name == root or name.startswith(f"{root}/") for root in allowed if root):
        raise Forbidden(f"{HUB}{name} is of no repository that sources may be added from (INFERENCE_SAE_ROOTS).")
