"""Rows of the catalogue: models, releases, source sets and sources."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from memicos_webapp.catalog.visibility import ResolvedSource


class Collection(TypedDict):
    """A body of text with one licence; `url` is where it is published, if that is known."""

    name: str
    license: str
    url: str | None
    attribution: str


@dataclass(frozen=True)
class SourceInfo(ResolvedSource):
    """A source with its current load, its set, release, model and corpus: the columns of `visible_sources`."""

    model_id: str
    name: str
    layer: int
    active_embedder: str | None
    set_name: str
    set_title: str
    release_id: str
    release_name: str
    model_name: str
    model_layers: int
    model_origin: str
    model_license: str
    chat: bool
    features: int
    dead_features: int
    counted_tokens: int
    architecture: str
    d_in: int
    d_sae: int
    logit_effect: str
    residual_norm: float | None
    recipe: dict[str, Any]
    sae_config: dict[str, Any]
    corpus_description: str
    corpus_contexts: int
    context_size: int
    corpus_tokens: int
    collections: list[Collection]

    @property
    def path(self) -> str:
        return f"/{self.model_id}/{self.name}"

    @property
    def live_features(self) -> int:
        return self.features - self.dead_features


@dataclass(frozen=True)
class SourceKey:
    """A source as lists of choices name it."""

    model_id: str
    name: str
    set_name: str
    layer: int
    features: int

    @property
    def path(self) -> str:
        return f"/{self.model_id}/{self.name}"


@dataclass(frozen=True)
class ModelInfo:
    id: str
    name: str
    layers: int
    d_model: int
    vocabulary_size: int
    chat: bool
    origin: str
    license: str
    url: str | None


@dataclass(frozen=True)
class ReleaseInfo:
    id: str
    name: str
    description: str
    creator: str
    url: str | None


@dataclass(frozen=True)
class SetInfo:
    """A source set with totals over its sources."""

    model_id: str
    model_name: str
    name: str
    title: str
    description: str
    release_id: str
    sources: int
    features: int
    live_features: int

    @property
    def path(self) -> str:
        return f"/{self.model_id}/{self.name}"


@dataclass(frozen=True)
class FailedLoad:
    """An import of a source that was refused, and why."""

    model_id: str
    name: str
    manifest_sha256: str
    created_at: datetime
    error: str
