"""An import that runs, and the options that it was added with."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import asyncpg
from memicos_dataset.folder import Folder
from memicos_dataset.manifest import Manifest

from memicos_webapp.datasets import repository
from memicos_webapp.datasets.plan import ImportPlan, MissingSources, plan_import
from memicos_webapp.datasets.rejects import Rejects
from memicos_webapp.datasets.stored_rows.verification import StoredLoad
from memicos_webapp.jobs.progress import Progress
from memicos_webapp.settings import Settings

RETIRED_SECONDS: float = Settings.model_fields["retired_load_seconds"].default


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """Decisions about sources that are shown already, and how long retired loads stay for requests in progress."""

    missing: MissingSources = MissingSources.REFUSE
    move_sources: bool = False
    retired_seconds: float = RETIRED_SECONDS
    reject_limit: int = 0
    """Rows that may be left out."""
    conversions: str = ""
    """Folder for conversions of the public layout."""
    sources: tuple[str, ...] = ()
    """Sources of the public layout; empty: all."""
    ignore_space: bool = False
    """Whether the import begins although there may be too little space."""
    roots: str | None = None
    """MEMICOS_IMPORT_ROOTS of a server that added the import; None: a command, which may read everything."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What the public layout may not say: fields of `MetadataOptions`."""

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "missing": self.missing.value}

    @classmethod
    def from_json(cls, options: Mapping[str, Any]) -> "ImportOptions":
        return cls(
            **{**options, "missing": MissingSources(options["missing"]), "sources": tuple(options.get("sources", ()))}
        )


@dataclass(frozen=True)
class RunningImport:
    """A running import: its dataset, job, options and connection."""

    folder: Folder
    manifest: Manifest
    sha256: str
    job_id: int
    options: ImportOptions
    connection: asyncpg.Connection
    progress: Progress
    rejects: Rejects
    url: str
    """Of the database, for further connections."""

    async def plan(self, connection: asyncpg.Connection) -> ImportPlan:
        """What the import changes in the catalogue, as `connection` sees it."""
        state = await repository.catalogue_state(connection, self.manifest)
        return plan_import(self.folder, self.manifest, state, self.options.missing, self.options.move_sources)

    async def stored_loads(self) -> list[StoredLoad]:
        """The loads of this import that have texts."""
        loads = await repository.staged_loads(self.connection, self.manifest, self.job_id)
        model = self.manifest.model.id
        return [
            StoredLoad(load.load_id, load.source_id, load.corpus_id, f"{model}/{load.name}")
            for load in loads
            if load.corpus_id is not None
        ]
