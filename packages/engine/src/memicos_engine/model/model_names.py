"""Names of models: where the weights of a configured model are, and which names requests may use for it.

Short names are those of TransformerLens and of SAELens (Neuronpedia's).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from memicos_engine.errors import LoadError
from memicos_engine.sources import saelens_registry
from memicos_engine.user_paths import is_folder, real_path, shortened, user_path

OLD_HUB_IDS = {
    "distilgpt2": "distilbert/distilgpt2",
    "gpt2": "openai-community/gpt2",
    "gpt2-medium": "openai-community/gpt2-medium",
    "gpt2-large": "openai-community/gpt2-large",
    "gpt2-xl": "openai-community/gpt2-xl",
}
"""Hub ids by the names without an owner that TransformerLens uses for these models."""


@dataclass(frozen=True)
class ModelNames:
    """The configured names of a server's model.

    `model` is the model that the sources belong to (MODEL_ID), `override` a model to run in its place
    (OVERRIDE_MODEL_ID), `custom` the location of the weights (CUSTOM_HF_MODEL_ID).
    """

    model: str = ""
    override: str | None = None
    custom: str | None = None

    @property
    def configured(self) -> tuple[str, ...]:
        return tuple(name for name in (self.model, self.override, self.custom) if name)


@dataclass(frozen=True)
class WeightsLocation:
    """Where weights are: `folder`, or the hub repository `repo`. `setting` is the name of the setting that says so."""

    setting: str
    folder: Path | None = None
    repo: str | None = None

    @property
    def display_name(self) -> str:
        """The repository, or the folder's name without its path, which must not be published."""
        return self.repo or (real_path(self.folder).name if self.folder else "")


def locate_weights(names: ModelNames) -> WeightsLocation:
    """Where the model's weights are.

    Raises:
        LoadError: no setting names a model, or the name is unknown.
    """
    by_setting = {"CUSTOM_HF_MODEL_ID": names.custom, "OVERRIDE_MODEL_ID": names.override, "MODEL_ID": names.model}
    setting, name = next(((setting, name) for setting, name in by_setting.items() if name), ("MODEL_ID", ""))
    if not name:
        raise LoadError(
            "No model is named: set MODEL_ID, or start with --env-file (--list-configs lists the known configurations)."
        )
    folder = user_path(name)
    if is_folder(folder):
        return WeightsLocation(setting, folder=folder)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise LoadError(f"There is no folder {shortened(name)} ({setting}): put the model there, or name another one.")
    repo = hub_id(name) or hub_id(saelens_registry.hub_models().get(name, ""))
    if repo is None:
        raise LoadError(
            f"{shortened(name)} ({setting}) is neither a folder nor a hub id (owner/name) nor a short name that "
            "TransformerLens or SAELens know. Set CUSTOM_HF_MODEL_ID to the location of its weights."
        )
    return WeightsLocation(setting, repo=repo)


def hub_id(name: str) -> str | None:
    """TransformerLens' hub id for a short name, None if unknown; a hub id is returned unchanged."""
    if "/" in name:
        return name
    from transformer_lens.supported_models import MODEL_ALIASES, OFFICIAL_MODEL_NAMES

    official = next((hub_name for hub_name, short in MODEL_ALIASES.items() if name in short), name)
    official = OLD_HUB_IDS.get(official, official)
    return official if "/" in official or official in OFFICIAL_MODEL_NAMES else None


def accepted_model_names(names: ModelNames, owners: Sequence[str], location: WeightsLocation) -> tuple[str, ...]:
    """Every name that requests may give as `model`. The first one is the model that the sources belong to.

    `owners` are the models that own the sources in SAELens' directory, `location` is where the weights are.
    """
    accepted = list(owners)
    for name in names.configured:
        if is_folder(folder := user_path(name)):
            accepted += [real_path(folder).name] if name == names.model else []
        else:
            short = _short_names(name)
            accepted += [*short, name] if "/" in name else [name, *short]
    return tuple(dict.fromkeys([*accepted, *([location.repo] if location.repo else [])]))


def _short_names(name: str) -> list[str]:
    """TransformerLens' short names for the model `name`."""
    from transformer_lens.supported_models import MODEL_ALIASES

    repo = hub_id(name)
    return [
        short
        for hub_name, names in MODEL_ALIASES.items()
        if OLD_HUB_IDS.get(hub_name, hub_name) == repo
        for short in names
    ]
