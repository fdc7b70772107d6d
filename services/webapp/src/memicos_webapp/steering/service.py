"""Steering a model with features: checks of a request, and its run at inference."""

from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import Any

from memicos_inference_client.models import ChatMessage as InferenceMessage
from memicos_inference_client.models import ChatRequest, CompletionRequest, SteerVector
from memicos_inference_client.models import SteerFeature as InferenceFeature

from memicos_webapp.catalog import repository as catalog
from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.catalog.service import get_source, unknown_model
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.database.engine import Database
from memicos_webapp.errors import BadInput, NotFound
from memicos_webapp.inference.service import Inference
from memicos_webapp.settings import Settings
from memicos_webapp.steering.merge import merge
from memicos_webapp.steering.outputs import (
    Conversations,
    InferenceEvent,
    OutputType,
    SteerRun,
    chat_answer,
    completion_answer,
)
from memicos_webapp.steering.schemas import (
    SteerAnswer,
    SteerChatAnswer,
    SteerChatRequest,
    SteerFeature,
    SteerRequest,
    SteerSettings,
)
from memicos_webapp.vectors import service as vector_service
from memicos_webapp.vectors.names import is_vector_source
from memicos_webapp.vectors.rows import VectorRow

BOTH_OUTPUTS: list[OutputType] = ["STEERED", "DEFAULT"]


async def check(
    database: Database, viewer: Viewer, settings: Settings, body: SteerSettings, features: Sequence[SteerFeature]
) -> list[VectorRow]:
    """Check a request before it is sent to inference.

    Returns:
        The vectors that `features` are, in their order; none where they are features of sources.

    Raises:
        BadInput: A limit is exceeded, a feature is of another model, or only some of the features are vectors.
        NotFound: Model, source, index or vector is unknown.
    """
    async with database.snapshot() as session:
        if await catalog.model(session, viewer, body.model_id) is None:
            raise await unknown_model(session, viewer, body.model_id)
        _check_limits(settings, body, features)
        if any(is_vector_source(feature.source) for feature in features):
            return [await vector_service.get(session, viewer, f.model_id, f.source, f.index) for f in features]
        sources = {
            name: await get_source(session, viewer, body.model_id, name) for name in {f.source for f in features}
        }
    for feature in features:
        check_index(sources[feature.source], feature.index)
    return []


def _check_limits(settings: Settings, body: SteerSettings, features: Sequence[SteerFeature]) -> None:
    if body.n_tokens > settings.steer_tokens:
        raise BadInput(f"n_tokens is {body.n_tokens}, at most {settings.steer_tokens} are allowed.")
    if len(features) > settings.steer_features:
        raise BadInput(f"{len(features)} features were sent; at most {settings.steer_features} are allowed.")
    for feature in features:
        if feature.model_id != body.model_id:
            raise BadInput(
                f"{feature.model_id}/{feature.source}/{feature.index} does not belong to "
                f"{body.model_id}, the model to steer."
            )
        if abs(feature.strength) > settings.steer_strength:
            raise BadInput(
                f"The strength of {feature.source}/{feature.index} is {feature.strength:g}; allowed is "
                f"-{settings.steer_strength:g} to {settings.steer_strength:g}."
            )
    if len({is_vector_source(feature.source) for feature in features}) > 1:
        raise BadInput(
            "Some of the features are vectors and some are features of sources; one request steers with one kind."
        )


def check_index(source: SourceInfo, index: int) -> None:
    if index >= source.d_sae:
        raise NotFound(f"{source.model_id}/{source.name} has no feature {index}; it has 0 to {source.d_sae - 1}.")


def completion_run(
    inference: Inference, body: SteerRequest, vectors: Sequence[VectorRow], share_url: str
) -> SteerRun[SteerAnswer]:
    """Both completions, without the prompt. Nothing is sent before the run's events are read.

    Args:
        vectors: the vectors that the request's features are, from `check`.
    """
    request = CompletionRequest(prompt=body.prompt, **_common_fields(body, body.features, vectors, BOTH_OUTPUTS))
    return SteerRun(inference.complete(request, _sources(body.features)), completion_answer, share_url)


def chat_run(
    inference: Inference, body: SteerChatRequest, vectors: Sequence[VectorRow], share_url: str
) -> SteerRun[SteerChatAnswer]:
    """The model's turn in both conversations; without features in DEFAULT only.

    Equal conversations are two rows of one request, different ones are two requests at the same time.
    """
    conversations: Conversations = {"DEFAULT": body.default_chat_messages}
    groups: list[list[OutputType]] = [["DEFAULT"]]
    if body.features:
        conversations = {"STEERED": body.steered_chat_messages, **conversations}
        equal = body.default_chat_messages == body.steered_chat_messages
        groups = [BOTH_OUTPUTS] if equal else [["STEERED"], ["DEFAULT"]]
    streams: list[AsyncGenerator[InferenceEvent, None]] = []
    for types in groups:
        request = ChatRequest(
            prompt=[
                InferenceMessage(content=message.content, role=message.role) for message in conversations[types[0]]
            ],
            steer_special_tokens=body.steer_special_tokens,
            continue_final_message=body.continue_final_message,
            **_common_fields(body, body.features, vectors, types),
        )
        streams.append(inference.chat(request, _sources(body.features)))
    events = streams[0] if len(streams) == 1 else merge(streams)
    return SteerRun(events, partial(chat_answer, body, conversations), share_url, conversations)


def _common_fields(
    body: SteerSettings, features: Sequence[SteerFeature], vectors: Sequence[VectorRow], types: list[OutputType]
) -> dict[str, Any]:
    """Fields of both kinds of request to inference."""
    return {
        "model": body.model_id,
        "types": types,
        "n_completion_tokens": body.n_tokens,
        "temperature": body.temperature,
        "steer_method": body.steer_method,
        "strength_multiplier": body.strength_multiplier,
        "freq_penalty": body.freq_penalty,
        "seed": body.seed,
        "n_logprobs": body.n_logprobs,
        **_directions(features if "STEERED" in types else [], vectors),
    }


def _directions(features: Sequence[SteerFeature], vectors: Sequence[VectorRow]) -> dict[str, Any]:
    """The field of a request to inference that has the directions: `vectors`, or `features`, which may be empty."""
    if features and vectors:
        return {
            "vectors": [
                SteerVector(steering_vector=row.values, strength=feature.strength, hook=row.hook_name)
                for feature, row in zip(features, vectors, strict=True)
            ]
        }
    return {
        "features": [
            InferenceFeature(model=f.model_id, source=f.source, index=f.index, strength=f.strength) for f in features
        ]
    }


def _sources(features: Sequence[SteerFeature]) -> list[str]:
    """Sources that the host must have; vectors need none."""
    return sorted({feature.source for feature in features if not is_vector_source(feature.source)})
