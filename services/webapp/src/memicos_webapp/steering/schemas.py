"""The wire of `/api/steer` and `/api/steer-chat`: the field names users' scripts already send.

Casing is mixed on purpose (`modelId` beside `n_tokens`): that is the published contract.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from memicos_webapp import examples
from memicos_webapp.features.schemas import FeatureId
from memicos_webapp.settings import at_most

SteerMethod = Literal["SIMPLE_ADDITIVE", "ORTHOGONAL_DECOMP"]
Role = Literal["user", "assistant", "system", "model", "developer"]


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True)


class SteerFeature(FeatureId):
    strength: float = Field(
        allow_inf_nan=False,
        description="multiplies the unit decoder direction, in residual units; in either direction "
        + at_most("steer_strength"),
    )


class SteerSettings(BaseModel):
    """What both kinds of steering share. Upper bounds that an operator can set are checked by the service."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    model_id: str = Field(alias="modelId")
    temperature: float = Field(default=0.5, ge=0, le=2, description="0: always the likeliest token")
    n_tokens: int = Field(default=256, ge=1, description=f"tokens to generate, {at_most('steer_tokens')}")
    freq_penalty: float = Field(default=1.0, ge=-2, le=2)
    seed: Annotated[int, Field(ge=-100_000_000, le=100_000_000)] = 16
    strength_multiplier: float = Field(default=1.0, ge=0, le=10, description="times every feature's strength")
    steer_method: SteerMethod = "SIMPLE_ADDITIVE"
    n_logprobs: int = Field(
        5, ge=0, le=10, description="alternatives reported for each token; 0 sends no log-probabilities"
    )
    stream: bool = Field(False, description="answer with server-sent events; every frame is the whole answer so far")


class SteerRequest(SteerSettings):
    model_config = ConfigDict(json_schema_extra=examples.STEER)

    prompt: str = Field(min_length=1)
    features: list[SteerFeature] = Field(min_length=1, description=at_most("steer_features"))


class ChatMessage(BaseModel):
    role: Role
    content: str


class SteerChatRequest(SteerSettings):
    model_config = ConfigDict(json_schema_extra=examples.STEER_CHAT)

    default_chat_messages: list[ChatMessage] = Field(alias="defaultChatMessages", min_length=1)
    steered_chat_messages: list[ChatMessage] = Field(alias="steeredChatMessages", min_length=1)
    features: list[SteerFeature] = Field(
        description=f"{at_most('steer_features')}; with none of them, [], only DEFAULT is generated"
    )
    steer_special_tokens: bool = Field(True, description="steer at the chat template's special tokens too")


class Turn(BaseModel):
    role: str
    content: str


class TopLogprob(BaseModel):
    token: str
    logprob: float


class TokenLogprob(Camel):
    token: str
    logprob: float
    top_logprobs: list[TopLogprob]


class TokenCounts(BaseModel):
    """Generated tokens so far."""

    STEERED: int | None = None
    DEFAULT: int | None = None


class Answer(Camel):
    """`id` and `shareUrl` come with the last frame of a stream."""

    id: str | None = Field(default=None, description="null: runs are not stored")
    share_url: str | None = Field(default=None, description="the steer page with these settings")
    limit: str | None = Field(default=None, description="requests left in this window; null where none is set")
    tokens: TokenCounts | None = None


class SteerAnswer(Answer):
    """Completions without the prompt."""

    STEERED: str | None = Field(default=None, alias="STEERED")
    DEFAULT: str | None = Field(default=None, alias="DEFAULT")
    steered_log_probs: list[TokenLogprob] | None = None
    default_log_probs: list[TokenLogprob] | None = None


class ChatResult(Camel):
    raw: str = Field(description="the conversation as the model read and wrote it, special tokens included")
    chat_template: list[Turn]
    logprobs: list[TokenLogprob] | None = None


class ChatSettings(BaseModel):
    temperature: float
    n_tokens: int
    freq_penalty: float
    seed: int
    strength_multiplier: float
    steer_special_tokens: bool
    steer_method: SteerMethod


class SteerChatAnswer(Answer):
    STEERED: ChatResult | None = Field(default=None, alias="STEERED")
    DEFAULT: ChatResult | None = Field(default=None, alias="DEFAULT")
    settings: ChatSettings
