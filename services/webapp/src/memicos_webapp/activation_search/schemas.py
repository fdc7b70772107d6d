"""The wire of `/api/search-all` and `/api/search-topk-by-token`."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from memicos_webapp import examples
from memicos_webapp.features.schemas import NeuronBody
from memicos_webapp.recipes import Recipe
from memicos_webapp.settings import at_most
from memicos_webapp.validation import Texts

TEXTS = f"one text, or a list, {at_most('texts_at_once')}"


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True)


class SearchAllRequest(Camel):
    model_config = ConfigDict(json_schema_extra=examples.SEARCH_TEXT)

    model_id: str
    source_set: str
    text: Texts = Field(description=TEXTS)
    selected_layers: list[str] = Field(
        default_factory=list, max_length=1000, description="source ids; empty means every source of the set"
    )
    sort_indexes: list[Annotated[int, Field(ge=0, le=1_000_000)]] = Field(
        default_factory=list,
        max_length=1000,
        description="rank by the sum of the values at these token positions; empty: by the maximum",
    )
    ignore_bos: bool = Field(True, description="the recipe's ignored positions take no part in maximum and ranking")
    density_threshold: float = Field(
        -1,
        ge=-1,
        le=1,
        description="leave out features that fire on more than this share of tokens; -1 or 0: keep all",
    )
    num_results: int = Field(default=50, ge=1, le=100, description="features that the answer has at most")


class FoundFeature(Camel):
    model_id: str
    layer: str
    source: str
    index: str
    values: list[float]
    max_value: float
    max_value_index: int
    sum_values: float | None = Field(default=None, description="the sum at sortIndexes, where given")
    neuron: NeuronBody | None = Field(default=None, description="null where the feature was not imported")
    dfa_values: list[float] | None = None
    dfa_target_index: int | None = None
    dfa_max_value: float | None = None


class SearchAllResult(Camel):
    tokens: list[str]
    result: list[FoundFeature]
    sort_indexes: list[int]
    recipes: dict[str, Recipe] = Field(description="by source, how the text's values were computed")
    example_recipes: dict[str, Recipe] = Field(description="by source, how the values of examples were")


class SearchAllResults(Camel):
    results: list[SearchAllResult]


class TopkRequest(Camel):
    model_config = ConfigDict(json_schema_extra=examples.SEARCH_TOKENS)

    model_id: str = Field(max_length=100)
    source: str = Field(max_length=100, description="id of the source")
    text: Texts = Field(description=TEXTS)
    num_results: int = Field(default=10, ge=1, le=20, description="features at each token")
    ignore_bos: bool = Field(True, description="the recipe's ignored positions have no features")
    density_threshold: float = Field(
        0.01,
        ge=-1,
        le=1,
        description="leave out features that fire on more than this share of tokens; 0 or -1: keep all",
    )


class TopFeature(Camel):
    activation_value: float
    feature_index: int
    feature: NeuronBody | None = None


class TopkToken(Camel):
    position: int = Field(description="position in the prompt, the prepended BOS being 0")
    token: str
    is_special: bool
    top_features: list[TopFeature]


class TopkResult(Camel):
    source: str
    results: list[TopkToken]
    recipe: Recipe = Field(description="how the text's values were computed")
    example_recipe: Recipe = Field(description="how the values of examples were")


class TopkResults(Camel):
    results: list[TopkResult]
