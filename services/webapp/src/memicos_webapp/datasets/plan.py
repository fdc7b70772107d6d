"""The changes of an import to sources that are already shown, and the reasons to refuse it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder
from memicos_dataset.manifest import FILE_NAME, Manifest


class MissingSources(StrEnum):
    """What to do with sources of the set that are shown and that the dataset lacks."""

    REFUSE = "refuse"
    KEEP = "keep"
    RETIRE = "retire"


@dataclass(frozen=True)
class ShownSource:
    """A source that readers see."""

    id: int
    name: str
    set_name: str


@dataclass(frozen=True)
class CatalogueState:
    """What the database has for the model, the set and the sources of a manifest."""

    sources: Sequence[ShownSource]
    """Sources of the model that readers see, of any set."""
    model_shape: tuple[int, int, int] | None
    """Layers, width and vocabulary size of the model; None where it is new."""
    release_id: str | None
    """Release of the set; None where the set is new."""


@dataclass(frozen=True)
class ImportPlan:
    """Sources to retire, and messages for the user."""

    retire: list[ShownSource] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def plan_import(
    folder: Folder, manifest: Manifest, state: CatalogueState, missing: MissingSources, move_sources: bool
) -> ImportPlan:
    """Decide about sources of other sets and sources that the dataset lacks.

    Raises:
        DatasetError: a source is shown in another set and `move_sources` is false; the dataset lacks shown sources of
            its set and `missing` does not say what to do with them; or the model that other sets belong to has another
            shape.
    """
    path, plan = folder.locate(FILE_NAME), ImportPlan()
    model, set_id = manifest.model, manifest.source_set.id
    names = {source.id for source in manifest.source_set.sources}
    other_sets = sorted({source.set_name for source in state.sources if source.set_name != set_id})
    shape = (model.layers, model.d_model, model.vocabulary_size)
    if other_sets and state.model_shape not in (None, shape):
        raise DatasetError(
            path,
            f"model {model.id!r} has layers, width and vocabulary size {shape}; the database has "
            f"{state.model_shape} for this id, with the sets {', '.join(other_sets)}; give another model its own id",
        )
    moved = [source for source in state.sources if source.name in names and source.set_name != set_id]
    for source in moved:
        if not move_sources:
            raise DatasetError(
                path,
                f"source {source.name!r} belongs to set {source.set_name!r} in the database, not to {set_id!r}; "
                "rename it, or move it with --move-sources",
            )
        plan.notes.append(f"{source.name} moves from set {source.set_name} to {set_id}")
    if state.release_id not in (None, manifest.release.id):
        plan.notes.append(f"set {set_id} moves from release {state.release_id} to {manifest.release.id}")
    lacking = [source for source in state.sources if source.set_name == set_id and source.name not in names]
    missing_names = ", ".join(source.name for source in lacking)
    if lacking and missing is MissingSources.REFUSE:
        raise DatasetError(
            path,
            f"set {set_id!r} has sources in the database that this dataset lacks: {missing_names}; keep them with "
            "--keep-missing, or hide them with --retire-missing",
        )
    if lacking and missing is MissingSources.KEEP:
        plan.notes.append(f"kept as they are, though this dataset lacks them: {missing_names}")
    if lacking and missing is MissingSources.RETIRE:
        plan.notes.append(f"retired, as this dataset lacks them: {missing_names}")
        plan.retire.extend(lacking)
    return plan
