"""The wire of `/v1/steer`. With `stream` every server-sent event is the whole response so far, or what is new in it."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from memicos_inference.http.api_model import ApiModel, Index, Number, Text

SteerMethod = Literal["SIMPLE_ADDITIVE", "ORTHOGONAL_DECOMP", "PROJECTION_CAP"]
SteerType = Literal["STEERED", "DEFAULT"]
Finished = Literal["length", "eos"]

DELTA = "delta"
"""Name of the events that hold a `SteerDelta`."""


class SteerFeature(ApiModel):
    model: Text
    source: Text
    index: Index
    strength: Number
    steering_vector: list[Number] | None = Field(
        None, description="refused: the source's decoder row is the direction; send own ones as `vectors`"
    )


class SteerVector(ApiModel):
    steering_vector: list[Number]
    strength: Number
    hook: Text = Field(description="one of the capabilities' `steer_hooks`, for example blocks.15.hook_resid_post")


class SteerSettings(ApiModel):
    """What both kinds share. Exactly one of `features` and `vectors`; `features: []` where only DEFAULT is wanted.

    With c = strength_multiplier x strength, v the direction and u = v / |v|, SIMPLE_ADDITIVE adds c v to the
    activation h at every position; ORTHOGONAL_DECOMP multiplies h's component along v by c: h + (c - 1) (h.u) u;
    PROJECTION_CAP keeps that component from exceeding c: h + (min(h.u, c) - h.u) u.
    """

    model: Text
    steer_method: SteerMethod = "SIMPLE_ADDITIVE"
    normalize_steering: bool = Field(False, description="scale each direction to length 1 first")
    types: list[SteerType] = Field(min_length=1, json_schema_extra={"uniqueItems": True})
    features: list[SteerFeature] | None = None
    vectors: list[SteerVector] | None = None
    n_completion_tokens: int = Field(ge=1)
    temperature: Number = Field(ge=0, description="0: the most probable token")
    strength_multiplier: Number = 1.0
    freq_penalty: Number = Field(
        0.0,
        description="times a token's count so far, prompt included, comes off its logit over temperature; only where "
        "temperature and penalty are above 0",
    )
    seed: int = Field(16, ge=-(2**53), le=2**53, description="each type is sampled from this seed anew")
    stream: bool = Field(False, description="answer as text/event-stream")
    stream_deltas: bool = Field(
        False,
        description="with `stream`: events named `delta` have what is new since the one before, and the last event, "
        "which has no name, the whole answer",
    )
    n_logprobs: int = Field(0, ge=0, le=10, description="alternatives for each token; 0: no log-probabilities")

    @field_validator("types")
    @classmethod
    def _once(cls, types: list[SteerType]) -> list[SteerType]:
        if len(set(types)) < len(types):
            raise ValueError("a type is named twice")
        return types

    @model_validator(mode="after")
    def _deltas_are_streamed(self) -> Self:
        if self.stream_deltas and not self.stream:
            raise ValueError("stream_deltas is about a stream: set stream to true as well")
        return self


class CompletionRequest(SteerSettings):
    prompt: Text = Field(min_length=1)


class ChatMessage(ApiModel):
    content: Text
    role: Text = Field(min_length=1)


class ChatRequest(SteerSettings):
    prompt: list[ChatMessage] = Field(min_length=1)
    steer_special_tokens: bool = Field(
        True, description="false: special tokens of the prompt are not steered; generated ones always are"
    )
    is_assistant_axis: bool = Field(False, description="true is refused")


class TopLogprob(ApiModel):
    token: str
    logprob: float


class TokenLogprob(ApiModel):
    """Natural logarithms of the probabilities before temperature and penalty."""

    token: str
    logprob: float
    top_logprobs: list[TopLogprob]


class CompletionOutput(ApiModel):
    type: SteerType
    output: str = Field(description="prompt and completion; a prepended BOS is left out")
    completion: str = Field(description="what was generated, cut by token count")
    token_ids: list[int] = Field(description="generated tokens")
    finished: Finished | None = Field(None, description="why it ended; null: not yet")
    logprobs: list[TokenLogprob] | None = Field(None, description="one a generated token, where asked for")


class CompletionResponse(ApiModel):
    outputs: list[CompletionOutput] = Field(description="in the order of `types`")


class ChatInput(ApiModel):
    chat_template: list[ChatMessage]
    raw: str = Field(description="the prompt as the model reads it")
    token_ids: list[int]


class ChatOutput(ApiModel):
    type: SteerType
    chat_template: list[ChatMessage] = Field(description="the request's messages and the assistant's turn")
    raw: str = Field(description="rendered prompt and completion, special tokens included")
    completion: str = Field(description="the assistant's turn without special tokens")
    token_ids: list[int] = Field(description="generated tokens")
    finished: Finished | None = Field(None, description="why it ended; null: not yet")
    logprobs: list[TokenLogprob] | None = Field(None, description="one a generated token, where asked for")


class ChatResponse(ApiModel):
    outputs: list[ChatOutput] = Field(description="in the order of `types`")
    input: ChatInput


class OutputDelta(ApiModel):
    """New part of an output. The parts of a stream joined are `completion`, `token_ids` and `logprobs` of the answer.

    A character of several tokens comes with the last of them, so that `completion` may be empty.
    """

    type: SteerType
    completion: str
    raw: str | None = Field(
        None, description="chats: `completion` with special tokens, where these make a difference; null: no difference"
    )
    token_ids: list[int]
    finished: Finished | None = Field(None, description="why it ended; null: not yet")
    logprobs: list[TokenLogprob] | None = Field(None, description="one a token, where asked for")


class SteerDelta(ApiModel):
    outputs: list[OutputDelta] = Field(description="those in which something is new")
    input: ChatInput | None = Field(None, description="chats: the prompt, in the first delta of a stream")
