"""Steering a model with features: the request to inference, and its answer as it comes."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Literal, TypeVar

from memicos_inference_client.models import (
    ChatMessage as InferenceMessage,
)
from memicos_inference_client.models import (
    ChatOutput,
    ChatRequest,
    CompletionOutput,
    CompletionRequest,
)
from memicos_inference_client.models import SteerFeature as InferenceFeature

from memicos_webapp.catalog import repository as catalog
from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.catalog.service import get_source, unknown_model
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.database.engine import Database
from memicos_webapp.errors import BadInput, NotFound
from memicos_webapp.inference.service import Inference
from memicos_webapp.settings import Settings
from memicos_webapp.steering.schemas import (
    ChatMessage,
    ChatResult,
    ChatSettings,
    SteerAnswer,
    SteerChatAnswer,
    SteerChatRequest,
    SteerFeature,
    SteerRequest,
    SteerSettings,
    TokenCounts,
    TokenLogprob,
    TopLogprob,
    Turn,
)

T = TypeVar("T")
Kind = Literal["STEERED", "DEFAULT"]
BOTH: list[Kind] = ["STEERED", "DEFAULT"]


async def check(
    database: Database, viewer: Viewer, settings: Settings, body: SteerSettings, features: Sequence[SteerFeature]
) -> None:
    """Refuse what cannot be run, before inference is asked.

    Raises:
        BadInput: a limit is passed, or a feature is of another model, or is a vector.
        NotFound: model, source or index is unknown.
    """
    async with database.snapshot() as session:
        if await catalog.model(session, viewer, body.model_id) is None:
            raise await unknown_model(session, viewer, body.model_id)
        _check_limits(settings, body, features)
        sources = {
            name: await get_source(session, viewer, body.model_id, name) for name in {f.source for f in features}
        }
    for feature in features:
        check_index(sources[feature.source], feature.index)


def _check_limits(settings: Settings, body: SteerSettings, features: Sequence[SteerFeature]) -> None:
    if body.n_tokens > settings.steer_tokens:
        raise BadInput(f"n_tokens is {body.n_tokens}, at most {settings.steer_tokens} are generated here.")
    if len(features) > settings.steer_features:
        raise BadInput(f"{len(features)} features were sent, at most {settings.steer_features} steer at once.")
    for feature in features:
        if feature.model_id != body.model_id:
            raise BadInput(
                f"{feature.model_id}/{feature.source}/{feature.index} is a feature of another model than "
                f"{body.model_id}, which is to be steered."
            )
        if abs(feature.strength) > settings.steer_strength:
            raise BadInput(
                f"The strength of {feature.source}/{feature.index} is {feature.strength:g}; it may go from "
                f"-{settings.steer_strength:g} to {settings.steer_strength:g}."
            )
        if feature.source.endswith(("-neuronpedia-resid-pre", "-neuronpedia-resid-post")):
            raise BadInput(
                f"{feature.source}/{feature.index} names an uploaded vector; this server steers with features of "
                "its sources only."
            )


def check_index(source: SourceInfo, index: int) -> None:
    if index >= source.d_sae:
        raise NotFound(f"{source.model_id}/{source.name} has no feature {index}; it has 0 to {source.d_sae - 1}.")


def _common(body: SteerSettings, features: Sequence[SteerFeature], kinds: list[Kind]) -> dict[str, Any]:
    """What both requests to inference share."""
    return {
        "model": body.model_id,
        "types": kinds,
        "n_completion_tokens": body.n_tokens,
        "temperature": body.temperature,
        "steer_method": body.steer_method,
        "strength_multiplier": body.strength_multiplier,
        "freq_penalty": body.freq_penalty,
        "seed": body.seed,
        "n_logprobs": body.n_logprobs,
        "features": [
            InferenceFeature(model=f.model_id, source=f.source, index=f.index, strength=f.strength) for f in features
        ]
        if "STEERED" in kinds
        else [],
    }


def _sources(features: Sequence[SteerFeature]) -> list[str]:
    return sorted({feature.source for feature in features})


def _logprobs(output: CompletionOutput | ChatOutput) -> list[TokenLogprob] | None:
    if not output.logprobs:
        return None
    return [
        TokenLogprob(
            token=one.token,
            logprob=one.logprob,
            top_logprobs=[TopLogprob(token=top.token, logprob=top.logprob) for top in one.top_logprobs],
        )
        for one in output.logprobs
    ]


async def complete(inference: Inference, body: SteerRequest, share_url: str) -> AsyncGenerator[SteerAnswer]:
    """Both completions, without the prompt, as they come; every answer is the whole one so far.

    Raises:
        Fault: inference cannot do it, or stopped in the middle.
    """
    request = CompletionRequest(prompt=body.prompt, **_common(body, body.features, BOTH))
    answer = SteerAnswer()
    async with aclosing(inference.complete(request, _sources(body.features))) as frames:
        async for frame in frames:
            by_kind = {output.type_: output for output in frame.outputs}
            steered, default = by_kind["STEERED"], by_kind["DEFAULT"]
            answer = SteerAnswer(
                STEERED=steered.completion,
                DEFAULT=default.completion,
                steered_log_probs=_logprobs(steered),
                default_log_probs=_logprobs(default),
                tokens=TokenCounts(STEERED=len(steered.token_ids), DEFAULT=len(default.token_ids)),
            )
            yield answer
    yield answer.model_copy(update={"share_url": share_url})


async def chat(inference: Inference, body: SteerChatRequest, share_url: str) -> AsyncGenerator[SteerChatAnswer]:
    """Both conversations with the model's turn as it comes. Without features only DEFAULT is generated.

    Two conversations that say the same are two rows of one request; others are two requests at once.

    Raises:
        Fault: inference cannot do it, or stopped in the middle.
    """
    streams = []
    for kinds, messages in _conversations(body):
        request = ChatRequest(
            prompt=[InferenceMessage(content=one.content, role=one.role) for one in messages],
            steer_special_tokens=body.steer_special_tokens,
            **_common(body, body.features, kinds),
        )
        streams.append(inference.chat(request, _sources(body.features)))
    settings = ChatSettings.model_validate(body.model_dump(include=set(ChatSettings.model_fields)))
    answer = SteerChatAnswer(settings=settings)
    async with aclosing(merged(streams)) as frames:
        async for frame in frames:
            results = {output.type_: _result(output) for output in frame.outputs}
            counts = {output.type_: len(output.token_ids) for output in frame.outputs}
            tokens = (answer.tokens or TokenCounts()).model_copy(update=counts)
            answer = answer.model_copy(update={**results, "tokens": tokens})
            yield answer
    yield answer.model_copy(update={"share_url": share_url})


def _conversations(body: SteerChatRequest) -> list[tuple[list[Kind], list[ChatMessage]]]:
    if not body.features:
        return [(["DEFAULT"], body.default_chat_messages)]
    if body.default_chat_messages == body.steered_chat_messages:
        return [(BOTH, body.default_chat_messages)]
    return [(["STEERED"], body.steered_chat_messages), (["DEFAULT"], body.default_chat_messages)]


def _result(output: ChatOutput) -> ChatResult:
    return ChatResult(
        raw=output.raw,
        chat_template=[Turn(role=one.role, content=one.content) for one in output.chat_template],
        logprobs=_logprobs(output),
    )


async def merged(streams: Sequence[AsyncGenerator[T]]) -> AsyncGenerator[T]:
    """Items of all streams as they come. The first failure ends all of them, and so does leaving early."""
    coming: dict[asyncio.Task[T | None], AsyncGenerator[T]] = {}

    def ask(stream: AsyncGenerator[T]) -> None:
        coming[asyncio.ensure_future(_next(stream))] = stream

    for stream in streams:
        ask(stream)
    try:
        while coming:
            done, _ = await asyncio.wait(coming, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                item = task.result()
                stream = coming.pop(task)
                if item is not None:
                    ask(stream)
                    yield item
    finally:
        for task in coming:
            task.cancel()
        # shielded: a second cancellation would meet the tasks while they close their connections
        await asyncio.shield(asyncio.gather(*coming, return_exceptions=True))
        for stream in streams:
            await stream.aclose()


async def _next(stream: AsyncGenerator[T]) -> T | None:
    return await anext(stream, None)
