"""What the import roots have: folders, and datasets in them."""

import re
from collections.abc import Collection
from dataclasses import replace

from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder
from memicos_dataset.manifest import FILE_NAME
from memicos_dataset.public_layout.files import KINDS
from memicos_dataset.remote.errors import UnavailableError

from memicos_webapp.admin.schemas import Available, AvailableEntry
from memicos_webapp.datasets import preview
from memicos_webapp.errors import BadInput, NotFound, Unavailable
from memicos_webapp.import_roots.access import permitted_folder
from memicos_webapp.import_roots.roots import Roots

PATIENCE_SECONDS = 5.0
"""How long a page waits for a server that does not answer; an import waits longer."""
_SOURCE = re.compile(r"(?:[0-9]+|e)-([A-Za-z0-9._-]+?)(?:__.+)?")
_FILE = re.compile(r".*\.[A-Za-z][A-Za-z0-9]{0,10}")
"""Names with an extension, which are of files; `llama3.1-8b` has none."""
_DASHBOARD = re.compile(r"batch-[0-9]+\.json")


def permitted(roots: Roots, location: str) -> Folder:
    """The folder at a location.

    Raises:
        BadInput: it is in none of the roots.
    """
    try:
        return replace(permitted_folder(roots, location.strip()), patience_seconds=PATIENCE_SECONDS)
    except PermissionError as error:
        raise BadInput(str(error)) from error


def browse(roots: Roots, location: str | None, stored: Collection[str]) -> Available:
    """What is at a location; the roots where it is None. `stored` has the names `model/source` that the database shows.

    Raises:
        BadInput: it is in none of the roots, or cannot be read; without credentials the message says what to set.
        NotFound: there is nothing.
        Unavailable: its server does not answer.
    """
    if location is None:
        entries = [AvailableEntry(name=root, location=root, set=None, stored=False) for root in roots.locations()]
        return Available(location=None, dataset=False, model=None, entries=entries)
    folder = permitted(roots, location)
    try:
        names = folder.names()
    except (DatasetError, OSError) as error:
        raise _fault(error, f"{folder} cannot be listed: ") from error
    if not names and not _is_manifest(folder):
        raise NotFound(f"{folder} has no files, or does not exist.")
    if _is_dataset(folder, names):
        return Available(location=str(folder), dataset=True, model=None, entries=[])
    entries = [_entry(folder, name, stored) for name in names if not name.startswith(".") and not _FILE.fullmatch(name)]
    model = folder.name if any(entry.set for entry in entries) else None
    return Available(location=str(folder), dataset=False, model=model, entries=entries)


def _fault(error: Exception, prefix: str = "") -> BadInput | Unavailable:
    """What a request gets where a location cannot be read."""
    return (Unavailable if isinstance(error, UnavailableError) else BadInput)(f"{prefix}{error}")


def _is_manifest(folder: Folder) -> bool:
    try:
        return folder.exists(FILE_NAME)
    except (DatasetError, OSError) as error:
        raise _fault(error, f"{folder} cannot be read: ") from error


def _is_dataset(folder: Folder, names: Collection[str]) -> bool:
    if FILE_NAME in names or any(kind in names for kind in KINDS):
        return True
    return any(_DASHBOARD.fullmatch(name) for name in names) or _is_manifest(folder)


def _entry(folder: Folder, name: str, stored: Collection[str]) -> AvailableEntry:
    match = _SOURCE.fullmatch(name)
    return AvailableEntry(
        name=name,
        location=str(folder.locate(name)),
        set=match[1] if match else None,
        stored=f"{folder.name}/{name}" in stored,
    )


def plan(roots: Roots, location: str, sources: Collection[str]) -> preview.Preview:
    """What is at a location.

    Raises:
        BadInput: it is in none of the roots, or no dataset.
        Unavailable: its server does not answer.
    """
    folder = permitted(roots, location)
    try:
        return preview.listed(folder, tuple(sources))
    except (DatasetError, OSError) as error:
        raise _fault(error) from error
