"""Folders of datasets that read what the import roots permit only."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memicos_dataset.folder import Folder
from memicos_dataset.remote.file_systems import file_system

from memicos_webapp.import_roots.roots import PORTS, Roots


@dataclass(frozen=True)
class RootAccess:
    """`memicos_dataset.folder.Access` by the roots. Its file systems keep the addresses of names."""

    roots: Roots
    _systems: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def check(self, place: Path | str) -> None:
        self.roots.check(place)

    def file_system(self, url: str) -> Any:
        """fsspec's file system for a permitted URL; for http(s) one whose connections are checked."""
        scheme = url.partition("://")[0].lower()
        if scheme not in self._systems:
            if scheme in PORTS:
                # they import aiohttp, which takes long
                from memicos_dataset.remote.http_folder import HttpFolders

                from memicos_webapp.import_roots.pinned_client import client_factory

                client = client_factory(self.roots.check_request, self.roots.check_address)
                self._systems[scheme] = HttpFolders(get_client=client, skip_instance_cache=True)
            else:
                self._systems[scheme] = file_system(url)
        return self._systems[scheme]


def permitted_folder(roots: Roots, location: str) -> Folder:
    """The folder at a location, which reads what the roots permit only.

    Raises:
        PermissionError: it is in none of the roots.
    """
    folder = Folder.of(location, RootAccess(roots))
    roots.check(folder.root)
    return folder
