"""Request and response models of `/v1/steer`.

With `stream` each server-sent event holds the whole response so far, or with `stream_deltas` its new part.
"""

from typing import Literal, Self

from memicos_service.validation import Text
from pydantic import Field, field_validator, model_validator

from memicos_inference.http.api_model import MODEL, SOURCE, ApiModel, Index, Number

SteerMethod = Literal["SIMPLE_ADDITIVE", "ORTHOGONAL_DECOMP", "PROJECTION_CAP"]
SteerType = Literal["STEERED", "DEFAULT"]
Finished = Literal["length", "eos"]

DELTA = "delta"
"""Name of the events that hold a `SteerDelta`."""

TYPE = "`STEERED`: generated with the steering directions; `DEFAULT`: without them."
GENERATED_IDS = "Vocabulary id of each generated token, the final end-of-sequence token included if there is one."
FINISHED = (
    "Why generation ended: `eos` (end-of-sequence token) or `length` (`n_completion_tokens` reached); null while it "
    "continues."
)
LOGPROBS = "Log-probabilities of each generated token, one entry per token; null if `n_logprobs` is 0."
STRENGTH = "Factor of the direction; multiplied by `strength_multiplier`."


class SteerFeature(ApiModel):
    """A feature whose decoder row is the steering direction, applied at the source's `steer_hook`."""

    model: Text = Field(description=MODEL)
    source: Text = Field(description=SOURCE)
    index: Index
    strength: Number = Field(description=STRENGTH)
    steering_vector: list[Number] | None = Field(
        None, description="Not supported: any value but null gets status 400. Send own directions as `vectors`."
    )


class SteerVector(ApiModel):
    """A steering direction at a hook point."""

    steering_vector: list[Number] = Field(description="Direction: as many numbers as the hook point is wide.")
    strength: Number = Field(description=STRENGTH)
    hook: Text = Field(
        description="Name of the hook point: one of `steer_hooks` in the capabilities, for example "
        "blocks.15.hook_resid_post, or the name of the module, model.layers.15."
    )


class SteerSettings(ApiModel):
    """Settings of a steered generation. Exactly one of `features` and `vectors`; `features: []` for DEFAULT alone.

    With c = strength_multiplier x strength, v the direction and u = v / |v|, SIMPLE_ADDITIVE adds c v to the
    activation h at every position; ORTHOGONAL_DECOMP multiplies h's component along v by c: h + (c - 1) (h.u) u;
    PROJECTION_CAP keeps that component from exceeding c: h + (min(h.u, c) - h.u) u.
    """

    model: Text = Field(description=MODEL)
    steer_method: SteerMethod = Field(
        "SIMPLE_ADDITIVE",
        description="How directions change activations: `SIMPLE_ADDITIVE` adds them, `ORTHOGONAL_DECOMP` scales the "
        "component along them, `PROJECTION_CAP` limits that component.",
    )
    normalize_steering: bool = Field(False, description="Whether to scale each direction to L2 norm 1 first.")
    types: list[SteerType] = Field(
        min_length=1,
        json_schema_extra={"uniqueItems": True},
        description="Outputs to generate, each at most once: `STEERED` with the directions, `DEFAULT` without them.",
    )
    features: list[SteerFeature] | None = Field(
        None,
        description="Features to steer with, at most `max_steered` in the capabilities' limits. Not together with "
        "`vectors`.",
    )
    vectors: list[SteerVector] | None = Field(
        None,
        description="Directions to steer with, at most `max_steered` in the capabilities' limits. Not together with "
        "`features`.",
    )
    n_completion_tokens: int = Field(
        ge=1,
        description="Largest number of tokens to generate for each type, at most `max_completion_tokens` in the "
        "capabilities' limits.",
    )
    temperature: Number = Field(ge=0, description="Sampling temperature; 0: always take the most probable token.")
    strength_multiplier: Number = Field(1.0, description="Factor of the strengths of all directions.")
    freq_penalty: Number = Field(
        0.0,
        description="Frequency penalty: subtracted from a token's logit, after division by temperature, once per "
        "occurrence in prompt and completion so far. No effect if it or the temperature is not above 0.",
    )
    seed: int = Field(16, ge=-(2**53), le=2**53, description="Seed of the sampling, used afresh for each type.")
    stream: bool = Field(False, description="Whether to send the response as server-sent events (text/event-stream).")
    stream_deltas: bool = Field(
        False,
        description="Whether events named `delta` send only the new part, followed by one unnamed event with the whole "
        "response. Requires `stream`.",
    )
    n_logprobs: int = Field(
        0,
        ge=0,
        le=10,
        description="Number of most probable tokens listed per generated token; 0: no log-probabilities.",
    )

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
    """A text to continue. Exactly one of `features` and `vectors`; `features: []` for DEFAULT alone.

    With c = strength_multiplier x strength, v the direction and u = v / |v|, SIMPLE_ADDITIVE adds c v to the
    activation h at every position; ORTHOGONAL_DECOMP multiplies h's component along v by c: h + (c - 1) (h.u) u;
    PROJECTION_CAP keeps that component from exceeding c: h + (min(h.u, c) - h.u) u.
    """

    prompt: Text = Field(min_length=1, description="Text to continue.")


class ChatMessage(ApiModel):
    """A message of a conversation."""

    content: Text = Field(description="Text of the message.")
    role: Text = Field(min_length=1, description="Role of the author, for example system, user or assistant.")


class ChatRequest(SteerSettings):
    """A conversation to continue with the assistant's turn. Settings are those of a completion."""

    prompt: list[ChatMessage] = Field(min_length=1, description="Messages of the conversation, oldest first.")
    steer_special_tokens: bool = Field(
        True,
        description="Whether to steer at special tokens of the prompt. Generated special tokens are always steered.",
    )
    continue_final_message: bool = Field(
        False,
        description="Whether to continue the last message, which has to be the assistant's, instead of opening a new "
        "turn.",
    )
    is_assistant_axis: bool = Field(False, description="Not supported: true gets status 400.")


class TopLogprob(ApiModel):
    """A candidate token and its log-probability."""

    token: str = Field(description="Text of the token as inside a text; bytes of a part of a character as `<0xE4>`.")
    logprob: float = Field(description="Natural logarithm of its probability.")


class TokenLogprob(ApiModel):
    """Natural logarithms of the probabilities before temperature and penalty."""

    token: str = Field(
        description="Text of the generated token as inside a text; bytes of a part of a character as `<0xE4>`."
    )
    logprob: float = Field(description="Natural logarithm of the generated token's probability.")
    top_logprobs: list[TopLogprob] = Field(
        description="The `n_logprobs` most probable tokens, by descending probability."
    )


class CompletionOutput(ApiModel):
    """Text generated for one type."""

    type: SteerType = Field(description=TYPE)
    output: str = Field(description="Prompt and completion, without a prepended BOS.")
    completion: str = Field(description="Text of the generated tokens.")
    token_ids: list[int] = Field(description=GENERATED_IDS)
    finished: Finished | None = Field(None, description=FINISHED)
    logprobs: list[TokenLogprob] | None = Field(None, description=LOGPROBS)


class CompletionResponse(ApiModel):
    """Generated texts."""

    outputs: list[CompletionOutput] = Field(description="One output per type, in the order of `types`.")


class ChatInput(ApiModel):
    """The prompt of a chat."""

    chat_template: list[ChatMessage] = Field(description="Messages of the request.")
    raw: str = Field(description="Conversation as rendered by the chat template, special tokens included.")
    token_ids: list[int] = Field(description="Vocabulary id of each token of `raw`.")


class ChatOutput(ApiModel):
    """Assistant's turn, or its continuation, generated for one type."""

    type: SteerType = Field(description=TYPE)
    chat_template: list[ChatMessage] = Field(
        description="Messages of the request, and the assistant's turn; with `continue_final_message` the last message "
        "has the generated text at its end."
    )
    raw: str = Field(description="Rendered prompt and completion, with the token that ended it.")
    completion: str = Field(description="Generated text of the assistant's turn, without the token that ended it.")
    token_ids: list[int] = Field(description=GENERATED_IDS)
    finished: Finished | None = Field(None, description=FINISHED)
    logprobs: list[TokenLogprob] | None = Field(None, description=LOGPROBS)


class ChatResponse(ApiModel):
    """Generated assistant's turns."""

    outputs: list[ChatOutput] = Field(description="One output per type, in the order of `types`.")
    input: ChatInput = Field(description="The prompt, rendered and tokenised.")


class OutputDelta(ApiModel):
    """New part of an output. All parts concatenated equal `completion`, `token_ids` and `logprobs` of the response.

    A character that spans several tokens is sent with the last of them, so `completion` may be empty.
    """

    type: SteerType = Field(description=TYPE)
    completion: str = Field(description="Text generated since the previous delta, without the token that ended it.")
    raw: str | None = Field(
        None, description="In a chat, the new text with the token that ended it; null if it equals `completion`."
    )
    token_ids: list[int] = Field(description="Vocabulary id of each token generated since the previous delta.")
    finished: Finished | None = Field(None, description=FINISHED)
    logprobs: list[TokenLogprob] | None = Field(
        None, description="Log-probabilities of each new token; null if `n_logprobs` is 0."
    )


class SteerDelta(ApiModel):
    """New part of a streamed response."""

    outputs: list[OutputDelta] = Field(description="Outputs with a new part.")
    input: ChatInput | None = Field(None, description="In the first delta of a chat: the prompt. Null otherwise.")
