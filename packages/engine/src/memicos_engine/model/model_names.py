"""Which model is meant: known names of models, and what each of the three names of a server's model stands for.

Short names are TransformerLens' and SAELens' (neuronpedia's).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from memicos_engine.errors import LoadError
from memicos_engine.sources import saelens_registry

OLD_HUB_IDS = {
    "distilgpt2": "distilbert/distilgpt2",
    "gpt2": "openai-community/gpt2",
    "gpt2-medium": "openai-community/gpt2-medium",
    "gpt2-large": "openai-community/gpt2-large",
    "gpt2-xl": "openai-community/gpt2-xl",
}
"""TransformerLens names these as the hub did before its repositories had owners."""


@dataclass(frozen=True)
class ModelNames:
    """`model` is the one that the sources belong to (MODEL_ID), `override` the one that is run instead
    (OVERRIDE_MODEL_ID), `custom` the place of its weights (CUSTOM_HF_MODEL_ID).
    """

    model: str = ""
    override: str | None = None
    custom: str | None = None

    @property
    def configured(self) -> tuple[str, ...]:
        return tuple(name for name in (self.model, self.override, self.custom) if name)


@dataclass(frozen=True)
class WeightsLocation:
    """Where weights are: in `folder`, or in the hub's repository `repo`. `setting` is the one that says so."""

    setting: str
    folder: Path | None = None
    repo: str | None = None

    @property
    def display_name(self) -> str:
        """Without the path of a folder, which is nobody's business."""
        return self.repo or (self.folder.resolve().name if self.folder else "")


def locate_weights(names: ModelNames) -> WeightsLocation:
    """Where the model's weights are.

    Raises:
        LoadError: no setting says it, or the one that does names nothing known.
    """
    given = {"CUSTOM_HF_MODEL_ID": names.custom, "OVERRIDE_MODEL_ID": names.override, "MODEL_ID": names.model}
    setting, name = next(((setting, name) for setting, name in given.items() if name), ("MODEL_ID", ""))
    if not name:
        raise LoadError("No model is named: set MODEL_ID, or start with --env-file (--list-configs lists the known).")
    folder = Path(name).expanduser()
    if folder.is_dir():
        return WeightsLocation(setting, folder=folder)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise LoadError(f"There is no folder {name} ({setting}).")
    repo = hub_id(name) or hub_id(saelens_registry.hub_models().get(name, ""))
    if repo is None:
        raise LoadError(
            f"{name} ({setting}) is neither a folder nor a hub id (owner/name) nor a short name that TransformerLens "
            "or SAELens know. Set CUSTOM_HF_MODEL_ID to where its weights are."
        )
    return WeightsLocation(setting, repo=repo)


def hub_id(name: str) -> str | None:
    """The hub id that TransformerLens has for a short name; a hub id as it is."""
    if "/" in name:
        return name
    from transformer_lens.supported_models import MODEL_ALIASES, OFFICIAL_MODEL_NAMES

    official = next((one for one, short in MODEL_ALIASES.items() if name in short), name)
    official = OLD_HUB_IDS.get(official, official)
    return official if "/" in official or official in OFFICIAL_MODEL_NAMES else None


def accepted_model_names(names: ModelNames, owners: Sequence[str], place: WeightsLocation) -> tuple[str, ...]:
    """Every name that requests may give as `model`. First the model that the sources belong to.

    `owners` are the models that SAELens' directory has the sources under, `place` where the weights are.
    """
    found = list(owners)
    for name in names.configured:
        if (folder := Path(name).expanduser()).is_dir():
            found += [folder.resolve().name] if name == names.model else []
        else:
            short = _short_names(name)
            found += [*short, name] if "/" in name else [name, *short]
    return tuple(dict.fromkeys([*found, *([place.repo] if place.repo else [])]))


def _short_names(name: str) -> list[str]:
    """What TransformerLens calls the model of that name."""
    from transformer_lens.supported_models import MODEL_ALIASES

    repo = hub_id(name)
    return [short for one, names in MODEL_ALIASES.items() if OLD_HUB_IDS.get(one, one) == repo for short in names]
