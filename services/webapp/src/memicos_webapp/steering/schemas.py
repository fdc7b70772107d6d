"""Bodies of `/api/steer` and `/api/steer-chat`, with the field names of Neuronpedia's API.

Casing is mixed (`modelId`, `n_tokens`) as in that API.
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from memicos_webapp import examples
from memicos_webapp.features.schemas import FeatureId
from memicos_webapp.inference.prompts import ChatMessage
from memicos_webapp.settings import at_most

SteerMethod = Literal["SIMPLE_ADDITIVE", "ORTHOGONAL_DECOMP"]
"""The methods of Neuronpedia's API; `steering/pages.py` has their names on the page. Inference has others, too."""


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

    model_id: str = Field(alias="modelId", description="id of the model")
    temperature: float = Field(
        default=0.5, ge=0, le=2, description="sampling temperature; 0: always the most probable token"
    )
    n_tokens: int = Field(default=256, ge=1, description=f"tokens to generate, {at_most('steer_tokens')}")
    freq_penalty: float = Field(
        default=1.0,
        ge=-2,
        le=2,
        description="frequency penalty: subtracted from a token's logit, after division by temperature, for each time "
        "that the token is in the text so far, prompt included; 0 or less, or temperature 0: none",
    )
    seed: int = Field(
        default=16,
        ge=-100_000_000,
        le=100_000_000,
        description="seed of sampling; equal requests with equal seeds give equal text",
    )
    strength_multiplier: float = Field(default=1.0, ge=0, le=10, description="factor on every feature's strength")
    steer_method: SteerMethod = Field(
        default="SIMPLE_ADDITIVE",
        description="with c = strength_multiplier x strength, v the decoder vector, u = v / |v| and h the activation: "
        "SIMPLE_ADDITIVE gives h + c v; ORTHOGONAL_DECOMP multiplies the component along v by c, h + (c - 1) (h.u) u",
    )
    n_logprobs: int = Field(
        5, ge=0, le=10, description="alternatives reported for each token; 0 sends no log-probabilities"
    )
    stream: bool = Field(
        False, description="respond with server-sent events; each is the whole response so far, unless `delta` is set"
    )
    delta: bool = Field(
        False,
        description="with `stream`: events named `delta` hold new text only, and the last event, which has no name, "
        "the whole response",
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

    prompt: str = Field(
        min_length=1,
        description="text to continue; with the generated tokens it must fit the model's token limit",
    )
    features: list[SteerFeature] = Field(
        min_length=1, description=f"features to steer with, {at_most('steer_features')}"
    )


class SteerChatRequest(SteerSettings):
    model_config = ConfigDict(json_schema_extra=examples.STEER_CHAT)

    default_chat_messages: list[ChatMessage] = Field(
        alias="defaultChatMessages", min_length=1, description="conversation that DEFAULT, without steering, continues"
    )
    steered_chat_messages: list[ChatMessage] = Field(
        alias="steeredChatMessages", min_length=1, description="conversation that STEERED continues"
    )
    features: list[SteerFeature] = Field(
        description=f"features to steer with, {at_most('steer_features')}; with none, [], only DEFAULT is generated"
    )
    continue_final_message: bool = Field(
        False,
        description="continue the last message of both conversations, the assistant's, in place of opening a new turn",
    )
    steer_special_tokens: bool = Field(True, description="steer at the chat template's special tokens too")


class Turn(BaseModel):
    """A message of a conversation in an answer."""

    role: str = Field(description="author of the message; assistant for the generated one")
    content: str = Field(description="text of the message; a generated one is without the token that ended it")


class TopLogprob(BaseModel):
    """A token that could have come at a position, with its probability."""

    token: str = Field(description="text of the token")
    logprob: float = Field(description="natural logarithm of the token's probability")


class TokenLogprob(Camel):
    """A generated token with its probability."""

    token: str = Field(description="text of the token")
    logprob: float = Field(description="natural logarithm of the token's probability")
    top_logprobs: list[TopLogprob] = Field(
        description="the n_logprobs most probable tokens at this position, most probable first"
    )


class TokenCounts(BaseModel):
    """Generated tokens so far."""

    STEERED: int | None = Field(default=None, description="tokens generated with steering; null: not generated")
    DEFAULT: int | None = Field(default=None, description="tokens generated without steering; null: not generated")


class OutputDelta(Camel):
    """New part of one output. All parts of a stream joined are the completion, or the model's turn of a chat."""

    text: str = Field(description="the new text; empty where a character of several tokens is not complete yet")
    tokens: int = Field(description="number of new tokens")
    logprobs: list[TokenLogprob] | None = Field(default=None, description="one for each new token, unless switched off")


class SteerDelta(Camel):
    """Data of an event named `delta`: the outputs that have new tokens."""

    STEERED: OutputDelta | None = Field(
        default=None, alias="STEERED", description="new part of the output with steering; null: nothing new"
    )
    DEFAULT: OutputDelta | None = Field(
        default=None, alias="DEFAULT", description="new part of the output without steering; null: nothing new"
    )


class SteerResult(Camel):
    """Fields of both answers. `shareUrl` comes with the last event of a stream: it marks the answer as complete."""

    id: str | None = Field(default=None, description="null: runs are not stored")
    share_url: str | None = Field(default=None, description="the steer page with these settings")
    limit: str | None = Field(default=None, description="requests left in this window; null where none is set")
    tokens: TokenCounts | None = Field(default=None, description="number of tokens generated so far, by output")


class SteerAnswer(SteerResult):
    """Completions without the prompt."""

    STEERED: str | None = Field(default=None, alias="STEERED", description="text generated with steering")
    DEFAULT: str | None = Field(default=None, alias="DEFAULT", description="text generated without steering")
    steered_log_probs: list[TokenLogprob] | None = Field(default=None, description="one for each token of STEERED")
    default_log_probs: list[TokenLogprob] | None = Field(default=None, description="one for each token of DEFAULT")


class ChatResult(Camel):
    """A conversation with the generated message."""

    raw: str = Field(description="the conversation as the model read and wrote it, special tokens included")
    chat_template: list[Turn] = Field(
        description="messages of the conversation, the generated one last; with continue_final_message the "
        "generated text is at the end of the last one"
    )
    logprobs: list[TokenLogprob] | None = Field(
        default=None, description="one for each generated token; null: switched off, or not in this event"
    )


class ChatSettings(BaseModel):
    """Settings that the conversation was generated with."""

    temperature: float = Field(description="sampling temperature; 0: always the most probable token")
    n_tokens: int = Field(description="most tokens that could be generated")
    freq_penalty: float = Field(description="frequency penalty on the logits of tokens that were already generated")
    seed: int = Field(description="seed of sampling")
    strength_multiplier: float = Field(description="factor on every feature's strength")
    steer_special_tokens: bool = Field(description="whether the chat template's special tokens were steered too")
    steer_method: SteerMethod = Field(description="steering method")


class SteerChatAnswer(SteerResult):
    STEERED: ChatResult | None = Field(
        default=None, alias="STEERED", description="conversation continued with steering; null: no features were sent"
    )
    DEFAULT: ChatResult | None = Field(
        default=None, alias="DEFAULT", description="conversation continued without steering"
    )
    settings: ChatSettings = Field(description="settings that both outputs were generated with")
