"""Scores an explanation by any method, with progress."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import asdict, dataclass

from fastapi.responses import StreamingResponse
from memicos_autointerp_core.scorers import eleuther_embedding, statistics
from memicos_autointerp_core.scorers.interface import Score, ScoredText
from memicos_autointerp_core.scorers.language_model import ScoringModel
from memicos_autointerp_core.scorers.registry import LANGUAGE_MODEL_SCORERS
from memicos_embeddings.embedder import EmbedderError
from memicos_embeddings.registry import EmbedderRegistry
from memicos_service.errors import ServiceError, unexpected_error_message
from memicos_service.json_escapes import escape_line_breaks
from pydantic import BaseModel

from memicos_autointerp.errors import EmbeddingFailed, ErrorBody
from memicos_autointerp.explain.schemas import Usage
from memicos_autointerp.providers.service import Providers
from memicos_autointerp.score.schemas import (
    BreakdownText,
    ScoreExplanationRequest,
    ScoreExplanationResponse,
    ScoreProgress,
)
from memicos_autointerp.score.service import by_number, read_texts, score_fields
from memicos_autointerp.settings import Settings

log = logging.getLogger(__name__)

STEP = "step"
"""Name of the events that hold a `ScoreProgress`."""

OnProgress = Callable[[ScoreProgress], None]


@dataclass(frozen=True)
class PreparedScore:
    """A request that is valid and has a key; `run` computes the score."""

    run: Callable[[OnProgress], Awaitable[ScoreExplanationResponse]]


def prepare(
    body: ScoreExplanationRequest, settings: Settings, providers: Providers, embedders: EmbedderRegistry
) -> PreparedScore:
    """Check the request, and choose provider and model.

    Raises:
        BadInput: the request exceeds a limit, has too few texts of a class, or names an endpoint that is not allowed.
        NoKey: there is no key for the endpoint.
    """
    texts = read_texts(body.activations, settings, [item.known_distance for item in body.activations])
    if body.method == eleuther_embedding.METHOD:
        return PreparedScore(lambda _: _by_embedding(body, texts, embedders))
    chosen = providers.pick(body)
    scorer = LANGUAGE_MODEL_SCORERS[body.method]

    async def run(on_progress: OnProgress) -> ScoreExplanationResponse:
        def report() -> None:
            on_progress(ScoreProgress(finished=model.finished, requests=scorer.requests(len(texts)), cost=model.paid))

        model = ScoringModel(
            chosen.provider, chosen.model, settings.max_tokens, settings.temperature, body.attempt, report
        )
        score = await scorer.score(body.explanation, texts, model, body.seed)
        return ScoreExplanationResponse(
            **score_fields(score, scorer.statistic, model.answered_by),
            chance=scorer.chance,
            breakdown=_breakdown(score),
            profile=chosen.provider.profile.name,
            template_version=scorer.template_version,
            usage=Usage(**asdict(usage)) if (usage := model.counted_usage) else None,
            cost=model.paid,
        )

    return PreparedScore(run)


async def _by_embedding(
    body: ScoreExplanationRequest, texts: list[ScoredText], embedders: EmbedderRegistry
) -> ScoreExplanationResponse:
    embedder = embedders.by_key[embedders.preferred]
    try:
        score = await eleuther_embedding.score(body.explanation, texts, embedder.embed, embedder.title, body.seed)
    except EmbedderError as error:
        raise EmbeddingFailed(error.message) from None
    return ScoreExplanationResponse(
        **score_fields(score, statistics.AUC, score.model),
        chance=0.5,
        breakdown=_breakdown(score),
        profile=None,
        template_version=None,
        usage=None,
        cost=None,
    )


def _breakdown(score: Score) -> list[BreakdownText]:
    return [
        BreakdownText(
            index=number,
            distance=row.text.distance,
            ground_truth=row.truth,
            prediction=row.prediction,
            probability=row.probability,
            correct=row.correct,
            marked=list(row.marked),
            expected=None if row.expected is None else list(row.expected),
            failure=row.failure,
        )
        for number, row in by_number(score)
    ]


class ScoreEvents(StreamingResponse):
    """The events of a score. Its work ends when the client disconnects: no further request is paid."""

    media_type = "text/event-stream"

    def __init__(self, score: PreparedScore, with_steps: bool) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(_events(score, with_steps), headers=headers)


async def _events(score: PreparedScore, with_steps: bool) -> AsyncGenerator[bytes]:
    reports: asyncio.Queue[ScoreProgress | None] = asyncio.Queue()
    task = asyncio.ensure_future(score.run(reports.put_nowait))
    task.add_done_callback(lambda _: reports.put_nowait(None))
    try:
        while report := await reports.get():
            if with_steps:
                yield _event(report, STEP)
        yield _event(await task)
    except ServiceError as error:
        yield _event(ErrorBody.model_validate({"error": error.message, "cause": error.cause}), "error")
    except Exception:  # the status has been sent: an error can only be reported in the stream
        log.exception("a score was interrupted")
        yield _event(ErrorBody(error=unexpected_error_message(), cause="internal"), "error")
    finally:
        task.cancel()


def _event(data: BaseModel, name: str | None = None) -> bytes:
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + escape_line_breaks(data.model_dump_json().encode()) + b"\n\n"
