"""The wire of `POST /api/activation/new`."""

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from memicos_webapp.features.schemas import FeatureId


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True)


class NewActivation(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    feature: FeatureId | None = None
    neuron: FeatureId | None = Field(default=None, description="the older name of `feature`")
    custom_text: str | list[str] = Field(alias="customText", description="one text, or up to four")
    ignore_bos: bool = Field(
        False, alias="ignoreBos", description="leave the recipe's ignored positions out of the maximum"
    )

    @model_validator(mode="after")
    def one_feature(self) -> Self:
        if (self.feature is None) == (self.neuron is None):
            raise ValueError("give the feature once, as `feature` (or under its older name, `neuron`)")
        return self

    @property
    def target(self) -> FeatureId:
        chosen = self.feature or self.neuron
        assert chosen is not None  # one_feature
        return chosen


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
