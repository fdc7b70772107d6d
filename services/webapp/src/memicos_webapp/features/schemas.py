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

    model_id: str = Field(alias="modelId", description="id of the model")
    source: str = Field(
        validation_alias=AliasChoices("layer", "source"), description="id of the source; also accepted as `source`"
    )
    index: Annotated[int, BeforeValidator(_no_truth)] = Field(
        ge=0,
        le=BIGGEST_INDEX,
        validation_alias=AliasChoices("index", "neuron"),
        description="index of the feature in its source, 0 is the first; a number, or a string of digits",
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
    """An explanation of a feature, in short."""

    description: str = Field(description="text of the explanation")
    type_name: str = Field(description="method that made the explanation, such as highlighted-tokens")
    explanation_model_name: str | None = Field(description="language model that wrote it; null where none did")


class ExampleBody(_Camel):
    """A context of the corpus with the feature's activations, in short."""

    tokens: list[str] = Field(description="text of each token of the context, BOS included")
    values: list[float] = Field(description="activation of the feature at each token; as many as tokens")
    max_value: float = Field(description="largest of values")
    max_value_token_index: int = Field(description="token position of maxValue; 0 is the first token, BOS included")

    @classmethod
    def from_example(cls, example: CardExample, context: ContextRow) -> "ExampleBody":
        values = [example.values.get(i, 0.0) for i in range(len(context.tokens))]
        strongest = max(range(len(values)), key=values.__getitem__)
        return cls(tokens=context.tokens, values=values, max_value=values[strongest], max_value_token_index=strongest)


class NeuronBody(BaseModel):
    """The part of a feature's JSON that results show; `/api/feature/…` has all of it."""

    modelId: str = Field(description="id of the model")
    layer: str = Field(description="id of the source, the same as source")
    source: str = Field(description="id of the source")
    index: str = Field(description="index of the feature in its source, 0 is the first, as a string of digits")
    maxActApprox: float = Field(description="largest activation of the feature in the corpus; 0: it is never active")
    frac_nonzero: float = Field(description="activation density: share of counted tokens where it is active, 0 to 1")
    pos_str: list[str] = Field(description="tokens whose logits the feature raises most, largest effect first")
    pos_values: list[float] = Field(description="effect on the logit of each token of pos_str")
    neg_str: list[str] = Field(description="tokens whose logits the feature lowers most, most negative effect first")
    neg_values: list[float] = Field(description="effect on the logit of each token of neg_str")
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
