"""Steered generation. The steps read the steering directions from sources and return the generation with its answer."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from memicos_inference.http.errors import BadInput
from memicos_inference.http.sse import Events, event
from memicos_inference.loaded_model import LoadedModel
from memicos_inference.scheduler.jobs import GenerationJob, GenerationOutput, SourceCall, SourceSteps, TextJob
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
    SteerFeature,
    SteerSettings,
)

if TYPE_CHECKING:
    from memicos_engine.generation.generation import Generation, Row
    from memicos_engine.generation.steering import SteeringVector
    from memicos_engine.sources.source import Source

SteerResponse = CompletionResponse | ChatResponse


def completion_job(body: CompletionRequest) -> TextJob[list[int]]:
    def check(loaded: LoadedModel) -> None:
        loaded.check_text(body.prompt)

    def tokenize(loaded: LoadedModel) -> Generator[None, None, list[int]]:
        yield from ()
        return loaded.model.text_ids(body.prompt)

    return TextJob(check, tokenize, lambda ids: GenerationJob(partial(_completion, body=body, text_ids=ids)))


def chat_job(body: ChatRequest) -> TextJob[list[int]]:
    messages = [{"role": message.role, "content": message.content} for message in body.prompt]

    def check(loaded: LoadedModel) -> None:
        loaded.check_message_count(len(body.prompt))
        loaded.check_characters([sum(len(message.role) + len(message.content) for message in body.prompt)])

    def tokenize(loaded: LoadedModel) -> Generator[None, None, list[int]]:
        from memicos_engine.model.chat.chat_template import chat_token_ids

        yield from ()
        return chat_token_ids(loaded.model, messages, body.continue_final_message, loaded.check_text)

    return TextJob(check, tokenize, lambda ids: GenerationJob(partial(_chat, body=body, ids=ids)))


def _completion(loaded: LoadedModel, body: CompletionRequest, text_ids: list[int]) -> SourceSteps[GenerationOutput]:
    from memicos_engine.generation.generation import Row

    vectors = yield from _steering_vectors(loaded, body)
    ids = loaded.prompt(text_ids, loaded.prepend_bos)
    bos = int(loaded.model.lacks_bos(text_ids, loaded.prepend_bos))
    rows = [Row(ids, vectors if kind == "STEERED" else ()) for kind in body.types]
    generation = _generation(loaded, body, rows)
    prompt = loaded.model.decode(ids[bos:])
    streams = [
        OutputStream(loaded.model, generation, row, kind, ids[bos:], chat=False) for row, kind in enumerate(body.types)
    ]

    def make_response() -> CompletionResponse:
        outputs = [
            CompletionOutput.model_construct(
                type=stream.kind,
                output=prompt + stream.completion,
                completion=stream.completion,
                token_ids=stream.ids,
                finished=stream.finish_reason,
                logprobs=stream.logprobs if body.n_logprobs else None,
            )
            for stream in streams
        ]
        return CompletionResponse.model_construct(outputs=outputs)

    return GenerationOutput(generation, _renderer(body, generation, streams, make_response))


def _chat(loaded: LoadedModel, body: ChatRequest, ids: list[int]) -> SourceSteps[GenerationOutput]:
    from memicos_engine.generation.generation import Row

    if body.is_assistant_axis:
        raise BadInput("is_assistant_axis is not supported by this server.")
    vectors = yield from _steering_vectors(loaded, body)
    loaded.check_length(ids)
    mask = None if body.steer_special_tokens else [not special for special in loaded.model.special_mask(ids)]
    rows = [Row(ids, vectors if kind == "STEERED" else (), mask) for kind in body.types]
    generation = _generation(loaded, body, rows)
    rendered = loaded.model.decode(ids)
    chat_input = ChatInput(chat_template=list(body.prompt), raw=rendered, token_ids=ids)
    streams = [OutputStream(loaded.model, generation, row, kind, ids, chat=True) for row, kind in enumerate(body.types)]

    def make_response() -> ChatResponse:
        outputs = [
            ChatOutput.model_construct(
                type=stream.kind,
                chat_template=_conversation(body, stream.completion),
                raw=rendered + stream.raw,
                completion=stream.completion,
                token_ids=stream.ids,
                finished=stream.finish_reason,
                logprobs=stream.logprobs if body.n_logprobs else None,
            )
            for stream in streams
        ]
        return ChatResponse.model_construct(outputs=outputs, input=chat_input)

    return GenerationOutput(generation, _renderer(body, generation, streams, make_response, chat_input))


def _conversation(body: ChatRequest, completion: str) -> list[ChatMessage]:
    """The messages of the request with the generated text: a new turn, or the continuation of the last one."""
    if not body.continue_final_message:
        return [*body.prompt, ChatMessage(role="assistant", content=completion)]
    *earlier, last = body.prompt
    return [*earlier, ChatMessage(role=last.role, content=last.content + completion)]


def _steering_vectors(loaded: LoadedModel, body: SteerSettings) -> SourceSteps[list[SteeringVector]]:
    """The request's directions times their strengths; [] where nothing is steered."""
    from memicos_engine.generation.steering import SteeringVector

    loaded.check_model(body.model)
    if (body.features is None) == (body.vectors is None):
        raise BadInput(
            "Invalid request data: exactly one of features or vectors must be provided "
            "(features: [] where only DEFAULT is wanted)."
        )
    directions: Sequence[object] = body.features if body.features is not None else body.vectors or []
    if not directions and "STEERED" in body.types:
        raise BadInput("STEERED needs a feature or a vector to steer with; there is none.")
    if len(directions) > loaded.settings.max_steered:
        raise BadInput(f"{len(directions)} directions; at most {loaded.settings.max_steered} are steered at a time.")
    vectors: list[SteeringVector] = []
    for feature in body.features or []:
        loaded.check_model(feature.model)
        if feature.steering_vector is not None:
            raise BadInput(
                "features: steering_vector is not supported: the source's decoder row is the direction; "
                "send other directions as `vectors`."
            )
        # one source at a time: the vector is copied, so that the sources need not be in memory together
        vectors.append((yield SourceCall(feature.source, _direction(feature, body))))
    for direction in body.vectors or []:
        strength = direction.strength * body.strength_multiplier
        vectors.append(SteeringVector(direction.hook, direction.steering_vector, strength, body.steer_method))
    return [vector.normalized() for vector in vectors] if body.normalize_steering else vectors


def _direction(feature: SteerFeature, body: SteerSettings) -> Callable[[Source], SteeringVector]:
    from memicos_engine.generation.steering import SteeringVector

    def read(source: Source) -> SteeringVector:
        source.check_index(feature.index)
        strength = feature.strength * body.strength_multiplier
        return SteeringVector(source.steer_hook, source.decoder_row(feature.index), strength, body.steer_method)

    return read


def _generation(loaded: LoadedModel, body: SteerSettings, rows: Sequence[Row]) -> Generation:
    from memicos_engine.generation.generation import Generation, Sampling

    limit = loaded.settings.max_completion_tokens
    if body.n_completion_tokens > limit:
        raise BadInput(
            f"n_completion_tokens is {body.n_completion_tokens}; at most {limit} are generated "
            "(INFERENCE_MAX_COMPLETION_TOKENS)."
        )
    sampling = Sampling(
        temperature=body.temperature,
        freq_penalty=body.freq_penalty,
        seed=body.seed,
        n_logprobs=body.n_logprobs,
    )
    cached = {
        number: text
        for number, row in enumerate(rows)
        if not row.steers and (text := loaded.text_cache.find(row.ids, sampling, body.n_completion_tokens)) is not None
    }
    return Generation(loaded.model, rows, body.n_completion_tokens, sampling, loaded.settings.kv_bytes, cached)


def _renderer(
    body: SteerSettings,
    generation: Generation,
    streams: Sequence[OutputStream],
    make_response: Callable[[], SteerResponse],
    chat_input: ChatInput | None = None,
) -> Callable[[], bytes | None]:
    """`GenerationOutput.render` for the request: the response, or with `stream` the events so far."""

    def render() -> bytes | None:
        nonlocal chat_input
        if not body.stream and not generation.done:
            return None
        deltas = [delta for stream in streams if (delta := stream.advance()) is not None]
        if not body.stream_deltas:
            return _json(make_response())
        # only the first delta has the prompt of a chat
        events = event(_json(SteerDelta.model_construct(outputs=deltas, input=chat_input)), DELTA)
        chat_input = None
        return Events(events + event(_json(make_response()))) if generation.done else events

    return render


def _json(body: SteerResponse | SteerDelta) -> bytes:
    return body.model_dump_json(exclude_none=True).encode()
