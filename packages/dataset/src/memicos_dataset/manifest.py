"""The manifest of a dataset: its files, and how they were made."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

FILE_NAME = "manifest.json"
FORMAT = "memicos-dataset"
VERSION = 1


WebAddress = Annotated[str, Field(pattern=r"^https?://[^\s/?#]+[^\s]*$")]
"""A link on pages: other schemes, such as javascript:, are refused."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FileEntry(_Strict):
    """One Parquet file, with its path relative to the manifest."""

    path: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$")
    rows: int = Field(ge=0)
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Model(_Strict):
    id: str
    name: str
    layers: int = Field(gt=0)
    d_model: int = Field(gt=0)
    vocabulary_size: int = Field(gt=0)
    chat: bool
    origin: str
    """Where the weights come from, as pages show it."""
    license: str
    url: WebAddress | None = None


class Collection(_Strict):
    """A body of text with one licence, shown on pages that quote it."""

    name: str
    license: str
    url: WebAddress
    attribution: str


class Corpus(_Strict):
    id: str
    description: str
    contexts: int = Field(gt=0)
    context_size: int = Field(gt=0)
    tokens: int = Field(gt=0)
    """Number of tokens of all contexts, prepended BOS tokens left out."""
    collections: list[Collection]
    documents: FileEntry
    vocabulary: FileEntry
    context_files: list[FileEntry]


class SaeRecipe(_Strict):
    """How feature values are computed from activations at the hook.

    `weights` is the folder's name. `normalize_activations` has SAELens' values; with `expected_average_only_in`
    activations are multiplied by `norm_scaling_factor`. With `unit_directions` values are multiplied by the length of
    the feature's decoder row, so that they belong to a direction of length 1.
    """

    weights: str
    architecture: str
    dtype: str
    normalize_activations: str
    norm_scaling_factor: float | None
    unit_directions: bool

    @classmethod
    def of_config(cls, weights: str, architecture: str, config: dict[str, Any]) -> "SaeRecipe":
        """The recipe of a source from a manifest without one: computed in float32; `config` is its cfg.json."""
        normalized = config.get("normalize_activations")
        return cls(
            weights=weights,
            architecture=architecture,
            dtype="float32",
            normalize_activations=normalized if isinstance(normalized, str) else "none",
            norm_scaling_factor=None,
            # where scaling directions would change which features fire, SAELens leaves them as stored
            unit_directions=bool(config.get("rescale_acts_by_decoder_norm"))
            if architecture in ("topk", "abstopk")
            else architecture not in ("matching_pursuit", "temporal"),
        )


class Recipe(_Strict):
    """How activations were computed from text. Manifests of the first datasets have no `sae`."""

    hook_name: str
    prepend_bos: bool
    context_size: int = Field(gt=0)
    ignored_positions: list[int]
    norm_cut: float | None
    dtype: str
    weight_processing: str
    sae: SaeRecipe | None = None


class Source(_Strict):
    id: str
    layer: int = Field(ge=0)
    recipe: Recipe
    architecture: str
    d_in: int = Field(gt=0)
    d_sae: int = Field(gt=0)
    sae_config: dict[str, Any]
    counted_tokens: int = Field(gt=0)
    """Number of tokens that count: all but those at ignored positions and those above the norm cut."""
    dead_features: int = Field(ge=0)
    residual_norm: float | None = Field(default=None, gt=0)
    """Median norm of the activations that the source reads, over counted tokens; pages measure steering strengths by
    it. None where features are steered at another hook than the source reads (transcoders), and in older datasets."""
    logit_effect: str
    """How logit effects are computed, as pages show it."""
    features: list[FileEntry]
    explanations: FileEntry | None = None


class SourceSet(_Strict):
    id: str
    name: str
    description: str
    sources: list[Source]


class Release(_Strict):
    id: str
    name: str
    description: str
    creator: str
    url: WebAddress | None = None


class Manifest(_Strict):
    format: Literal["memicos-dataset"] = FORMAT
    version: Literal[1] = VERSION
    release: Release
    model: Model
    source_set: SourceSet
    corpus: Corpus

    def files(self) -> list[FileEntry]:
        """Entries of all files of the dataset."""
        entries = [self.corpus.documents, self.corpus.vocabulary, *self.corpus.context_files]
        for source in self.source_set.sources:
            entries += source.features
            entries += [source.explanations] if source.explanations else []
        return entries

    def write(self, folder: Path) -> None:
        """Write the manifest into `folder`."""
        (folder / FILE_NAME).write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
