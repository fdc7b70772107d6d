"""The wire of `POST /api/activation/new`."""

from datetime import datetime
from typing import Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from memicos_webapp import examples
from memicos_webapp.features.schemas import FeatureId
from memicos_webapp.recipes import Recipe
from memicos_webapp.settings import at_most
from memicos_webapp.validation import Texts


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True)


class NewActivation(BaseModel):
    model_config = ConfigDict(populate_by_name=True, json_schema_extra=examples.NEW_ACTIVATION)

    feature: FeatureId = Field(
        validation_alias=AliasChoices("feature", "neuron"), description="also accepted under its older name, `neuron`"
    )
    custom_text: Texts = Field(alias="customText", description=f"one text, or a list, {at_most('texts_at_once')}")
    ignore_bos: bool = Field(
        False, alias="ignoreBos", description="leave the recipe's ignored positions out of the maximum"
    )


class Activation(Camel):
    """Values over the tokens of one text; every position is there, BOS included."""

    model_id: str
    layer: str
    source: str
    index: str
    tokens: list[str]
    values: list[float]
    max_value: float
    max_value_token_index: int
    min_value: float
    data_index: None = None
    data_source: Literal["memicos"] = "memicos"
    created_at: datetime
    dfa_values: list[float] | None = None
    dfa_target_index: int | None = None
    dfa_max_value: float | None = None
    token_ids: list[int]
    ignored_positions: list[int] = Field(description="positions where values mean nothing: the source knows no such")
    recipe: Recipe
