"""JSON of `POST /api/activation/new`."""

from datetime import datetime
from typing import Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from memicos_webapp import examples
from memicos_webapp.features.schemas import FeatureId
from memicos_webapp.inference.prompts import PromptFields
from memicos_webapp.recipes import Recipe
from memicos_webapp.settings import at_most
from memicos_webapp.validation import OptionalTexts


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True)


class NewActivation(PromptFields):
    model_config = ConfigDict(populate_by_name=True, json_schema_extra=examples.NEW_ACTIVATION)

    feature: FeatureId = Field(
        validation_alias=AliasChoices("feature", "neuron"), description="also accepted under its older name, `neuron`"
    )
    custom_text: OptionalTexts = Field(
        None,
        alias="customText",
        description=f"one text, or a list, {at_most('texts_at_once')}; exactly one of customText and messages",
    )
    ignore_bos: bool = Field(
        False, alias="ignoreBos", description="leave the recipe's ignored positions out of the maximum"
    )


class Activation(Camel):
    """Values over the tokens of one prompt; every position is there, BOS included."""

    model_id: str = Field(description="id of the model")
    layer: str = Field(description="id of the source, the same as source")
    source: str = Field(description="id of the source")
    index: str = Field(description="index of the feature in its source, 0 is the first, as a string of digits")
    tokens: list[str] = Field(description="text of each token that the model read, a prepended BOS included")
    values: list[float] = Field(description="activation of the feature at each token; as many as tokens")
    max_value: float = Field(description="largest of values; with ignoreBos the ignored positions are left out")
    max_value_token_index: int = Field(
        description="token position of maxValue; 0 is the first token, a prepended BOS included"
    )
    min_value: float = Field(description="smallest of values, ignored positions included")
    data_index: None = Field(default=None, description="always null: the text is not of the corpus")
    data_source: Literal["memicos"] = Field(default="memicos", description="always memicos: computed by this server")
    created_at: datetime = Field(description="when the values were computed, in UTC")
    dfa_values: list[float] | None = Field(
        default=None, description="always null: direct feature attribution is not computed"
    )
    dfa_target_index: int | None = Field(
        default=None, description="always null: direct feature attribution is not computed"
    )
    dfa_max_value: float | None = Field(
        default=None, description="always null: direct feature attribution is not computed"
    )
    token_ids: list[int] = Field(description="id of each token in the model's vocabulary; as many as tokens")
    ignored_positions: list[int] = Field(
        description="token positions where the source's activations have no meaning, such as BOS"
    )
    prepended_bos: bool = Field(description="whether BOS was prepended; false where the prompt itself begins with BOS")
    recipe: Recipe = Field(description="how the values were computed: model, weights, precision, hook and SAE")
