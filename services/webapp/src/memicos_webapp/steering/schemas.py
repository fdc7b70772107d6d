"""Bodies of `/api/steer` and `/api/steer-chat`, with the field names that users' scripts already send.

Casing is mixed (`modelId` beside `n_tokens`) because the published contract is.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
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
    """Fields of both requests. The service checks the upper bounds that an operator can set."""

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
    stream: bool = Field(
        False, description="answer with server-sent events; each is the whole answer so far, unless `delta` is set"
    )
    delta: bool = Field(
        False,
        description="with `stream`: events named `delta` hold new text only, and the last event, which has no name, "
        "the whole answer",
    )
    frame_logprobs: bool = Field(
        False,
        description="with `stream` and without `delta`: every event has the log-probabilities of all tokens so far; "
        "otherwise only the last one has them",
    )

    @model_validator(mode="after")
    def _check_stream_options(self) -> Self:
        if self.delta and not self.stream:
            raise ValueError("delta is an option of streams: set stream to true as well")
        if self.frame_logprobs and (self.delta or not self.stream):
            raise ValueError(
                "frame_logprobs is an option of streams of whole answers: set stream to true, and leave delta out"
            )
        return self


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


class OutputDelta(Camel):
    """New part of one output. All parts of a stream joined are the completion, or the model's turn of a chat."""

    text: str = Field(description="may be empty: a character of several tokens comes with the last of them")
    tokens: int = Field(description="number of new tokens")
    logprobs: list[TokenLogprob] | None = Field(default=None, description="one for each new token, unless switched off")


class SteerDelta(Camel):
    """Data of an event named `delta`: the outputs that have new tokens."""

    STEERED: OutputDelta | None = Field(default=None, alias="STEERED")
    DEFAULT: OutputDelta | None = Field(default=None, alias="DEFAULT")


class SteerResult(Camel):
    """Fields of both answers. `shareUrl` comes with the last event of a stream: it marks the answer as complete."""

    id: str | None = Field(default=None, description="null: runs are not stored")
    share_url: str | None = Field(default=None, description="the steer page with these settings")
    limit: str | None = Field(default=None, description="requests left in this window; null where none is set")
    tokens: TokenCounts | None = None


class SteerAnswer(SteerResult):
    """Completions without the prompt."""

    STEERED: str | None = Field(default=None, alias="STEERED")
    DEFAULT: str | None = Field(default=None, alias="DEFAULT")
    steered_log_probs: list[TokenLogprob] | None = Field(default=None, description="one for each token of STEERED")
    default_log_probs: list[TokenLogprob] | None = Field(default=None, description="one for each token of DEFAULT")


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


class SteerChatAnswer(SteerResult):
    STEERED: ChatResult | None = Field(default=None, alias="STEERED")
    DEFAULT: ChatResult | None = Field(default=None, alias="DEFAULT")
    settings: ChatSettings
