"""JSON of `/api/search-all` and `/api/search-topk-by-token`."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from memicos_webapp import examples, recipes
from memicos_webapp.activation_search.service import FeatureResult, Rank, TextSearchQuery, TextSearchResults
from memicos_webapp.activation_search.token_search import TokenFeature, TokenFeatures, TokenSearchResults
from memicos_webapp.features.rows import ContextRow
from memicos_webapp.features.schemas import NeuronBody
from memicos_webapp.inference.prompts import PromptFields
from memicos_webapp.recipes import Recipe
from memicos_webapp.settings import at_most
from memicos_webapp.validation import OptionalTexts

TEXTS = f"one text, or a list, {at_most('texts_at_once')}; exactly one of text and messages"
PREPENDED_BOS = "whether BOS was prepended; false where the prompt itself begins with BOS"
Contexts = dict[int, dict[int, ContextRow]]
"""Contexts of examples, by corpus id and number."""


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True)


class SearchAllRequest(Camel, PromptFields):
    model_config = ConfigDict(json_schema_extra=examples.SEARCH_TEXT)

    model_id: str = Field(description="id of the model")
    source_set: str = Field(description="name of the source set")
    text: OptionalTexts = Field(None, description=TEXTS)
    selected_layers: list[str] = Field(
        default_factory=list, max_length=1000, description="source ids; empty means every source of the set"
    )
    sort_indexes: list[Annotated[int, Field(ge=0, le=1_000_000)]] = Field(
        default_factory=list,
        max_length=1000,
        description="rank by the sum of the values at these token positions; empty: by the maximum",
    )
    ignore_bos: bool = Field(
        True, description="leave the recipe's ignored positions, such as BOS, out of the maximum and the ranking"
    )
    density_threshold: float = Field(
        -1,
        ge=-1,
        le=1,
        description="largest activation density: leave out features that are active on a larger share of counted "
        "tokens; -1 or 0: keep all",
    )
    num_results: int = Field(default=50, ge=1, le=100, description="largest number of features in the response")
    rank: Rank = Field(
        default="raw",
        description="raw: by activation, as the source computes it; deeper layers have larger ones. share: by the "
        "activation divided by the feature's maximum activation in its dataset; features without one are left out",
    )


def _neuron(feature: FeatureResult | TokenFeature, contexts: Contexts) -> NeuronBody | None:
    card = feature.card
    return NeuronBody.from_card(card, contexts[card.source.corpus_id]) if card else None


class RankedFeatureBody(Camel):
    """A feature that is active on the text."""

    model_id: str = Field(description="id of the model")
    layer: str = Field(description="id of the source")
    source: str = Field(description="id of the source")
    index: str = Field(description="index of the feature")
    values: list[float] = Field(description="activation of the feature at each token; as many as tokens")
    max_value: float = Field(description="largest of values; with ignoreBos the ignored positions are left out")
    max_value_index: int = Field(
        description="token position of maxValue; 0 is the first token, a prepended BOS included"
    )
    sum_values: float | None = Field(
        default=None, description="sum of values at the positions of sortIndexes; null: sortIndexes is empty"
    )
    share: float | None = Field(
        default=None,
        description="sumValues, or else maxValue, divided by the feature's maximum activation in its dataset; null "
        "where the dataset has none",
    )
    neuron: NeuronBody | None = Field(default=None, description="null where the feature was not imported")
    dfa_values: list[float] | None = Field(
        default=None, description="always null: direct feature attribution is not computed"
    )
    dfa_target_index: int | None = Field(
        default=None, description="always null: direct feature attribution is not computed"
    )
    dfa_max_value: float | None = Field(
        default=None, description="always null: direct feature attribution is not computed"
    )

    @classmethod
    def from_result(cls, model_id: str, result: FeatureResult, contexts: Contexts) -> "RankedFeatureBody":
        activation = result.activation
        return cls(
            model_id=model_id,
            layer=activation.source,
            source=activation.source,
            index=str(activation.index),
            values=activation.values,
            max_value=activation.max_value,
            max_value_index=activation.max_value_index,
            sum_values=activation.sum_values,
            share=activation.share,
            neuron=_neuron(result, contexts),
        )


class SearchAllResult(Camel):
    """Features that are active on a text, best first."""

    tokens: list[str] = Field(description="the prompt's tokens, a prepended BOS first")
    result: list[RankedFeatureBody] = Field(description="features, in the order of `rank`")
    prepended_bos: bool = Field(description=PREPENDED_BOS)
    sort_indexes: list[int] = Field(description="token positions that the request ranked by")
    rank: Rank = Field(description="raw or share, as in the request")
    recipes: dict[str, Recipe] = Field(description="by source, how the text's values were computed")
    example_recipes: dict[str, Recipe] = Field(
        description="by source, how the values of the corpus' examples were computed"
    )

    @classmethod
    def from_results(cls, query: TextSearchQuery, results: TextSearchResults) -> "SearchAllResult":
        return cls(
            tokens=results.tokens,
            result=[RankedFeatureBody.from_result(query.model, result, results.contexts) for result in results.results],
            prepended_bos=results.prepended_bos,
            sort_indexes=query.positions,
            rank=query.rank,
            recipes=results.recipes,
            example_recipes={source.name: recipes.dataset_recipe(source) for source in results.sources},
        )


class SearchAllResults(Camel):
    """One result per text of the request, in its order."""

    results: list[SearchAllResult] = Field(description="one per text")


class TopkRequest(Camel, PromptFields):
    model_config = ConfigDict(json_schema_extra=examples.SEARCH_TOKENS)

    model_id: str = Field(max_length=100, description="id of the model")
    source: str = Field(max_length=100, description="id of the source")
    text: OptionalTexts = Field(None, description=TEXTS)
    num_results: int = Field(default=10, ge=1, le=20, description="largest number of features at each token")
    ignore_bos: bool = Field(True, description="leave the recipe's ignored positions, such as BOS, out of the response")
    density_threshold: float = Field(
        0.01,
        ge=-1,
        le=1,
        description="largest activation density: leave out features that are active on a larger share of counted "
        "tokens; 0 or -1: keep all",
    )


class TopFeature(Camel):
    """A feature that is active at a token."""

    activation_value: float = Field(description="activation of the feature at the token")
    feature_index: int = Field(description="index of the feature in its source, 0 is the first")
    feature: NeuronBody | None = Field(default=None, description="null where the feature was not imported")


class TopkToken(Camel):
    """A token with its most active features."""

    position: int = Field(description="token position, 0 is the first token, a prepended BOS included")
    token: str = Field(description="the token's text")
    is_special: bool = Field(description="whether it is a special token, such as BOS")
    top_features: list[TopFeature] = Field(description="features, most active first")

    @classmethod
    def from_token(cls, token: TokenFeatures, contexts: Contexts) -> "TopkToken":
        return cls(
            position=token.position,
            token=token.token,
            is_special=token.special,
            top_features=[
                TopFeature(
                    activation_value=feature.value,
                    feature_index=feature.index,
                    feature=_neuron(feature, contexts),
                )
                for feature in token.features
            ],
        )


class TopkResult(Camel):
    """The most active features of a source at each token of a text."""

    source: str = Field(description="id of the source")
    results: list[TopkToken] = Field(description="one per token; without the ignored ones if ignoreBos is true")
    prepended_bos: bool = Field(description=PREPENDED_BOS)
    recipe: Recipe = Field(description="how the text's values were computed")
    example_recipe: Recipe = Field(description="how the values of the corpus' examples were computed")

    @classmethod
    def from_results(cls, results: TokenSearchResults, ignore_bos: bool) -> "TopkResult":
        return cls(
            source=results.source.name,
            results=[
                TopkToken.from_token(token, results.contexts)
                for token in results.tokens
                if not (ignore_bos and token.ignored)
            ],
            prepended_bos=results.prepended_bos,
            recipe=results.recipe,
            example_recipe=recipes.dataset_recipe(results.source),
        )


class TopkResults(Camel):
    """One result per text of the request, in its order."""

    results: list[TopkResult] = Field(description="one per text")
