"""How requests name a feature, rows that the repository reads, and the filter of a source's feature table."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

BIGGEST_INDEX = 2**31 - 1
"""PostgreSQL's integer; no autoencoder comes near it."""


def _no_truth(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


class FeatureId(BaseModel):
    """A feature as any of the known clients names it."""

    model_config = ConfigDict(populate_by_name=True, protected_namespaces=())

    model_id: str = Field(alias="modelId")
    source: str = Field(
        validation_alias=AliasChoices("layer", "source"), description="id of the source; also accepted as `source`"
    )
    index: Annotated[int, BeforeValidator(_no_truth)] = Field(
        ge=0,
        le=BIGGEST_INDEX,
        validation_alias=AliasChoices("index", "neuron"),
        description="a number, or a string of digits",
    )


@dataclass(frozen=True)
class FeatureRow:
    """The columns of `feature`, then the nearest live features by index."""

    load_id: int
    index: int
    density: float
    active_tokens: int
    max_activation: float
    activation_histogram: list[int]
    logit_histogram: list[int]
    logit_min: float
    logit_max: float
    positive_tokens: list[str]
    positive_logits: list[float]
    negative_tokens: list[str]
    negative_logits: list[float]
    neighbour_indices: list[int]
    neighbour_cosines: list[float]
    correlated_indices: list[int]
    correlated_pearson: list[float]
    quantile_shares: list[float]
    example_groups: list[int]
    example_contexts: list[int]
    example_positions: list[int]
    example_lengths: list[int]
    value_positions: list[int]
    values: list[float]
    previous: int | None
    next: int | None

    def sparse(self) -> list[dict[int, float]]:
        """Per example: position -> value."""
        found, start = [], 0
        for length in self.example_lengths:
            end = start + length
            found.append(dict(zip(self.value_positions[start:end], self.values[start:end], strict=True)))
            start = end
        return found


@dataclass(frozen=True)
class ExplanationRow:
    id: int
    index: int
    description: str
    method: str
    model: str | None
    author: str | None
    created_at: datetime


@dataclass(frozen=True)
class ContextRow:
    number: int
    tokens: list[str]
    title: str | None
    collection: str | None
    token_ids: list[int] | None = None
    """None where they were not asked for."""


@dataclass(frozen=True)
class ListRow:
    index: int
    density: float
    max_activation: float
    promotes: list[str]
    label: str | None


@dataclass(frozen=True)
class Card:
    """What lists of features over several sources show of each."""

    source_id: int
    model_id: str
    source: str
    index: int
    density: float
    max_activation: float
    promotes: list[str]
    label: str | None

    @property
    def path(self) -> str:
        return f"/{self.model_id}/{self.source}/{self.index}"


def _empty_is_none(value: object) -> object:
    """A form sends an empty field as an empty string."""
    return None if value == "" else value


Bound = Annotated[float | None, BeforeValidator(_empty_is_none)]


class FeatureFilter(BaseModel):
    """Query of a source's page. Densities are in percent."""

    page: int = Field(1, ge=1, le=1_000_000)
    sort: Literal["index", "density", "max"] = "index"
    order: Literal["asc", "desc"] = "asc"
    show: Literal["live", "all"] = "live"
    words: str = ""
    density_from: Bound = Field(None, ge=0, le=100)
    density_to: Bound = Field(None, ge=0, le=100)
    max_from: Bound = Field(None, ge=0, allow_inf_nan=False)
    max_to: Bound = Field(None, ge=0, allow_inf_nan=False)

    def query(self, **changes: object) -> dict[str, object]:
        """The filter as a query, without what is at its default."""
        return self.model_copy(update=changes).model_dump(exclude_defaults=True, exclude_none=True)
