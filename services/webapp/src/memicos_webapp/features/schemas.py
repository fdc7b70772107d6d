"""How requests name a feature, rows that the repository reads, and the filter of a source's feature table."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from memicos_webapp.features.rows import CardExample, ContextRow, FeatureCard

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


class _Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True)


class WordsBody(_Camel):
    description: str
    type_name: str
    explanation_model_name: str | None


class ExampleBody(_Camel):
    tokens: list[str]
    values: list[float]
    max_value: float
    max_value_token_index: int

    @classmethod
    def from_example(cls, example: CardExample, context: ContextRow) -> "ExampleBody":
        values = [example.values.get(i, 0.0) for i in range(len(context.tokens))]
        strongest = max(range(len(values)), key=values.__getitem__)
        return cls(tokens=context.tokens, values=values, max_value=values[strongest], max_value_token_index=strongest)


class NeuronBody(BaseModel):
    """The part of a feature's JSON that results show; `/api/feature/…` has all of it."""

    modelId: str
    layer: str
    source: str
    index: str
    maxActApprox: float
    frac_nonzero: float
    pos_str: list[str]
    pos_values: list[float]
    neg_str: list[str]
    neg_values: list[float]
    explanations: list[WordsBody] = Field(description="the one that serves as label first")
    activations: list[ExampleBody] = Field(description="the strongest example")

    @classmethod
    def from_card(cls, card: FeatureCard, contexts: Mapping[int, ContextRow]) -> "NeuronBody":
        """`contexts` has those of the card's examples, by number."""
        return cls(
            modelId=card.source.model_id,
            layer=card.source.name,
            source=card.source.name,
            index=str(card.index),
            maxActApprox=card.max_activation,
            frac_nonzero=card.density,
            pos_str=[token for token, _ in card.positive],
            pos_values=[value for _, value in card.positive],
            neg_str=[token for token, _ in card.negative],
            neg_values=[value for _, value in card.negative],
            explanations=[
                WordsBody(description=one.description, type_name=one.method, explanation_model_name=one.model)
                for one in card.explanations
            ],
            activations=[ExampleBody.from_example(one, contexts[one.context]) for one in card.examples],
        )
