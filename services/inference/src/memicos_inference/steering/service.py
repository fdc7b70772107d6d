"""Steered generation. Each function says what is to be written, and gives the answer as it advances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from memicos_inference.http.errors import BadInput
from memicos_inference.http.sse import Events, event
from memicos_inference.loaded_model import LoadedModel
from memicos_inference.scheduler.jobs import Writing
from memicos_inference.steering.output_stream import OutputStream
from memicos_inference.steering.schemas import (
    DELTA,
    ChatInput,
    ChatMessage,
    ChatOutput,
    ChatRequest,
    ChatResponse,
    CompletionOutput,
    CompletionRequest,
    CompletionResponse,
    SteerDelta,
    SteerSettings,
)

if TYPE_CHECKING:
    from memicos_engine.generation.generation import Generation, Row
    from memicos_engine.generation.steering import SteeringVector


def completion(served: LoadedModel, body: CompletionRequest) -> Writing:
    from memicos_engine.generation.generation import Row

    steers = _steers(served, body)
    ids = served.ids(body.prompt, served.prepend_bos)
    bos = int(served.prepend_bos and served.model.bos_token_id is not None)
    rows = [Row(ids, steers if kind == "STEERED" else ()) for kind in body.types]
    writing = _start(served, body, rows)
    shown = served.model.decode(ids[bos:])
    said = [
        OutputStream(served.model, writing, row, kind, ids[bos:], chat=False) for row, kind in enumerate(body.types)
    ]

    def whole() -> CompletionResponse:
        outputs = [
            CompletionOutput.model_construct(
                type=one.kind,
                output=shown + one.completion,
                completion=one.completion,
                token_ids=one.ids,
                finished=one.finish_reason,
                logprobs=one.logprobs if body.n_logprobs else None,
            )
            for one in said
        ]
        return CompletionResponse.model_construct(outputs=outputs)

    return _frames(body, writing, said, whole)


def chat(served: LoadedModel, body: ChatRequest) -> Writing:
    from memicos_engine.generation.generation import Row
    from memicos_engine.model import chat_template as chats

    if body.is_assistant_axis:
        raise BadInput("is_assistant_axis is not offered by this server.")
    steers = _steers(served, body)
    messages = [{"role": message.role, "content": message.content} for message in body.prompt]
    ids = chats.chat_token_ids(served.model, messages)
    served.check_length(ids)
    mask = None if body.steer_special_tokens else [not special for special in served.model.special_mask(ids)]
    rows = [Row(ids, steers if kind == "STEERED" else (), mask) for kind in body.types]
    writing = _start(served, body, rows)
    rendered = served.model.decode(ids)
    given = ChatInput(chat_template=list(body.prompt), raw=rendered, token_ids=ids)
    said = [OutputStream(served.model, writing, row, kind, ids, chat=True) for row, kind in enumerate(body.types)]

    def whole() -> ChatResponse:
        outputs = [
            ChatOutput.model_construct(
                type=one.kind,
                chat_template=[*body.prompt, ChatMessage(role="assistant", content=one.completion)],
                raw=rendered + one.raw,
                completion=one.completion,
                token_ids=one.ids,
                finished=one.finish_reason,
                logprobs=one.logprobs if body.n_logprobs else None,
            )
            for one in said
        ]
        return ChatResponse.model_construct(outputs=outputs, input=given)

    return _frames(body, writing, said, whole, given)


def _steers(served: LoadedModel, body: SteerSettings) -> list[SteeringVector]:
    """The request's directions with their coefficients; [] where nothing is steered."""
    from memicos_engine.generation.steering import SteeringVector

    served.check_model(body.model)
    if (body.features is None) == (body.vectors is None):
        raise BadInput(
            "Invalid request data: exactly one of features or vectors must be provided "
            "(features: [] where only DEFAULT is wanted)."
        )
    given: Sequence[object] = body.features if body.features is not None else body.vectors or []
    if not given and "STEERED" in body.types:
        raise BadInput("STEERED needs a feature or a vector to steer with; there is none.")
    if len(given) > served.settings.max_steered:
        raise BadInput(f"{len(given)} directions; at most {served.settings.max_steered} are steered at a time.")
    steers = []
    for feature in body.features or []:
        served.check_model(feature.model)
        if feature.steering_vector is not None:
            raise BadInput(
                "features: steering_vector is not taken, the source's decoder row is the direction; "
                "send own directions as vectors."
            )
        source = served.source(feature.source)
        source.check_index(feature.index)
        strength = feature.strength * body.strength_multiplier
        steers.append(SteeringVector(source.steer_hook, source.decoder_row(feature.index), strength, body.steer_method))
    for vector in body.vectors or []:
        strength = vector.strength * body.strength_multiplier
        steers.append(SteeringVector(vector.hook, vector.steering_vector, strength, body.steer_method))
    return [steer.normalized() for steer in steers] if body.normalize_steering else steers


def _start(served: LoadedModel, body: SteerSettings, rows: Sequence[Row]) -> Generation:
    from memicos_engine.generation.generation import Generation, Sampling

    most = served.settings.max_completion_tokens
    if body.n_completion_tokens > most:
        raise BadInput(
            f"n_completion_tokens is {body.n_completion_tokens}; at most {most} are generated "
            "(INFERENCE_MAX_COMPLETION_TOKENS)."
        )
    sampling = Sampling(
        temperature=body.temperature,
        freq_penalty=body.freq_penalty,
        seed=body.seed,
        n_logprobs=body.n_logprobs,
    )
    unsteered = [number for number, row in enumerate(rows) if not row.steers]
    found = {
        number: served.text_cache.find(rows[number].ids, sampling, body.n_completion_tokens) for number in unsteered
    }
    known = {number: text for number, text in found.items() if text is not None}
    return Generation(served.model, rows, body.n_completion_tokens, sampling, served.settings.kv_bytes, known)


def _frames(
    body: SteerSettings,
    writing: Generation,
    said: Sequence[OutputStream],
    whole: Callable[[], CompletionResponse | ChatResponse],
    prompt: ChatInput | None = None,
) -> Writing:
    """Answers of a generation as it advances. `prompt` goes into the first delta."""
    yield writing
    while not writing.done:
        if not body.stream:
            yield None
        elif body.stream_deltas:
            yield _delta(said, prompt)
            prompt = None
        else:
            for one in said:
                one.advance()
            yield _json(whole())
    if body.stream_deltas:
        yield Events(_delta(said, prompt) + event(_json(whole())))
        return
    for one in said:
        one.advance()
    yield _json(whole())


def _delta(said: Sequence[OutputStream], prompt: ChatInput | None) -> Events:
    outputs = [delta for one in said if (delta := one.advance()) is not None]
    return event(_json(SteerDelta.model_construct(outputs=outputs, input=prompt)), DELTA)


def _json(answer: CompletionResponse | ChatResponse | SteerDelta) -> bytes:
    return answer.model_dump_json(exclude_none=True).encode()
