"""The manifest of a dataset: its files, and how they were made.

The version of the format is `<major>.<minor>`. A new minor version adds columns, or keys to the manifest, that a reader
may ignore: readers keep those of newer minor versions. A new major version changes what older readers rely on, and they
refuse it. Version 1.0 was written as the number 1.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

FILE_NAME = "manifest.json"
FORMAT = "memicos-dataset"
MAJOR, MINOR = 1, 4
VERSION = f"{MAJOR}.{MINOR}"


WebAddress = Annotated[str, Field(pattern=r"^https?://[^\s/?#]+[^\s]*$")]
"""A link on pages: other schemes, such as javascript:, are refused."""


class _Entry(BaseModel):
    """Keys of newer minor versions are kept; `Manifest` refuses them in the versions that this module knows."""

    model_config = ConfigDict(extra="allow")


class FileEntry(_Entry):
    """One Parquet file, with its path relative to the manifest."""

    path: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$")
    rows: int = Field(ge=0)
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Model(_Entry):
    id: str
    name: str
    layers: int | None = Field(gt=0)
    d_model: int | None = Field(gt=0)
    vocabulary_size: int | None = Field(gt=0)
    """Null where a converted dataset does not say them."""
    chat: bool
    origin: str
    """Where the weights come from, as pages show it."""
    license: str
    url: WebAddress | None = None


class Collection(_Entry):
    """A body of text with one licence, shown on pages that quote it."""

    name: str
    license: str
    url: WebAddress | None = None
    """Where the text is published. None where that is not known; versions before 1.3 need it."""
    attribution: str


class Corpus(_Entry):
    id: str
    description: str
    contexts: int = Field(gt=0)
    context_size: int = Field(gt=0)
    tokens: int = Field(gt=0)
    """Number of tokens of all contexts, prepended BOS tokens left out."""
    collections: list[Collection]
    token_ids: Literal["tokenizer", "dataset"] = "tokenizer"
    """Where token ids are from: the model's tokenizer, or numbers that the dataset gives to strings of tokens, where
    the ids of its texts are not known."""
    documents: FileEntry
    vocabulary: FileEntry
    context_files: list[FileEntry]


class SaeRecipe(_Entry):
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


class Recipe(_Entry):
    """How activations were computed from text. Manifests of the first datasets have no `sae`."""

    hook_name: str
    prepend_bos: bool
    context_size: int = Field(gt=0)
    ignored_positions: list[int]
    norm_cut: float | None
    dtype: str
    weight_processing: str
    sae: SaeRecipe | None = None

    @property
    def first_token(self) -> int:
        """Position of the first token of a context that is part of its text: BOS is none."""
        return 1 if self.prepend_bos else 0


class Source(_Entry):
    id: str
    layer: int = Field(ge=0)
    recipe: Recipe
    architecture: str
    d_in: int | None = Field(gt=0)
    """Null where a converted dataset does not say it."""
    d_sae: int = Field(gt=0)
    sae_config: dict[str, Any]
    counted_tokens: int = Field(gt=0)
    """Number of tokens that count: all but those at ignored positions and those above the norm cut."""
    dead_features: int = Field(ge=0)
    residual_norm: float | None = Field(default=None, gt=0)
    """Median norm of the activations that the source reads, over counted tokens; pages measure steering strengths by
    it. None where features are steered at another hook than the source reads (transcoders), and in older datasets."""
    correlation_tokens: int | None = Field(default=None, gt=0)
    """Number of tokens that correlations are over: `counted_tokens`, or those of a sample of the contexts. None in
    datasets of other programs and older versions."""
    logit_effect: str
    """How logit effects are computed, as pages show it."""
    features: list[FileEntry]
    explanations: FileEntry | None = None
    scores: FileEntry | None = None
    """Scores of the explanations. None in datasets of older versions."""
    public_rows: dict[str, dict[str, Any]] | None = None
    """Rows of the public layout's `release.jsonl`, `model.jsonl`, `sourceset.jsonl` and `source.jsonl`, by their names
    without ending, where the source was converted from it."""


class SourceSet(_Entry):
    id: str
    name: str
    description: str
    sources: list[Source]


class Release(_Entry):
    id: str
    name: str
    description: str
    creator: str
    url: WebAddress | None = None


class Execution(_Entry):
    """How the computation of a dataset was divided. Sums of floats depend on it: the same numbers give the same bytes.

    `explained_contexts` is the number of contexts that explanations were counted on.
    """

    shard_contexts: int = Field(gt=0)
    batch_contexts: int = Field(gt=0)
    threads: int = Field(gt=0)
    explained_contexts: int = Field(gt=0)


class Manifest(_Entry):
    format: Literal["memicos-dataset"] = FORMAT
    version: str = Field(default=VERSION, pattern=r"^[0-9]{1,6}\.[0-9]{1,6}$")
    release: Release
    model: Model
    source_set: SourceSet
    corpus: Corpus
    execution: Execution | None = None
    """None in datasets of other programs and older versions."""

    @field_validator("version", mode="before")
    @classmethod
    def _version_of_number(cls, version: object) -> object:
        return f"{version}.0" if isinstance(version, int) and not isinstance(version, bool) else version

    @model_validator(mode="before")
    @classmethod
    def _refuse_newer_major(cls, content: Any) -> Any:
        """Before other rules: what else a newer major version has is not known."""
        version = str(content.get("version", "")) if isinstance(content, dict) else ""
        match = re.match(r"([0-9]{1,6})(?:\.[0-9]|$)", version)
        if match and int(match[1]) > MAJOR:
            raise ValueError(
                f"version {version} of the format is newer than {VERSION}, which this version of memicos reads; "
                "update memicos"
            )
        return content

    @model_validator(mode="after")
    def _refuse_unknown_keys(self) -> "Manifest":
        unknown = list(_unknown_keys(self, ""))
        minor = int(self.version.partition(".")[2])
        if unknown and minor <= MINOR:
            raise ValueError(f"version {self.version} of the format has no keys {', '.join(unknown)}")
        return self

    def files(self) -> list[FileEntry]:
        """Entries of all files of the dataset."""
        entries = [self.corpus.documents, self.corpus.vocabulary, *self.corpus.context_files]
        for source in self.source_set.sources:
            entries += source.features
            entries += [entry for entry in (source.explanations, source.scores) if entry]
        return entries

    def write(self, folder: Path) -> None:
        """Write the manifest into `folder`."""
        (folder / FILE_NAME).write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _unknown_keys(entry: BaseModel, prefix: str) -> Iterator[str]:
    """Keys of an entry and of those inside it that no field has, as `corpus.collections.0.key`."""
    yield from (prefix + name for name in entry.model_extra or {})
    for name in type(entry).model_fields:
        value = getattr(entry, name)
        items = {f"{name}.{number}": item for number, item in enumerate(value)} if isinstance(value, list) else {}
        for key, item in (items or {name: value}).items():
            if isinstance(item, BaseModel):
                yield from _unknown_keys(item, f"{prefix}{key}.")
