"""Scores an explanation: checks the limits, calls the scorer, and refuses scores that rest on too few answers."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from memicos_autointerp_core.scorers import classification, eleuther_embedding, statistics
from memicos_autointerp_core.scorers.interface import MIN_PER_CLASS, NOT_ACTIVE, BreakdownRow, Score, ScoredText
from memicos_autointerp_core.scorers.language_model import ScoringModel
from memicos_embeddings.embedder import EmbedderError
from memicos_embeddings.registry import EmbedderRegistry

from memicos_autointerp.errors import BadInput, EmbeddingFailed, ScoreFailed
from memicos_autointerp.explain.schemas import Activation, Usage
from memicos_autointerp.limits import check_size
from memicos_autointerp.providers.service import Providers
from memicos_autointerp.score.schemas import (
    ClassifiedText,
    EmbeddedText,
    ScoreEmbeddingRequest,
    ScoreEmbeddingResponse,
    ScoreFuzzDetectionRequest,
    ScoreFuzzDetectionResponse,
)
from memicos_autointerp.settings import Settings

METHODS: dict[str, classification.Method] = {"FUZZ": classification.FUZZ, "DETECTION": classification.DETECTION}


def read_texts(
    activations: Sequence[Activation], settings: Settings, distances: Sequence[int] | None = None
) -> list[ScoredText]:
    """The texts of a request; `context` is their number in it.

    `distances` None: 1 where the feature is active, otherwise NOT_ACTIVE.

    Raises:
        BadInput: the request exceeds a limit, or has too few texts of a class.
    """
    check_size(activations, [], settings)
    known = distances or [1 if max(item.values) > 0 else NOT_ACTIVE for item in activations]
    texts = [
        ScoredText(item.tokens, item.values, distance, context=number)
        for number, (item, distance) in enumerate(zip(activations, known, strict=True))
    ]
    active = sum(text.active for text in texts)
    if min(active, len(texts) - active) < MIN_PER_CLASS:
        raise BadInput(
            f"A score needs at least {MIN_PER_CLASS} activations on which the feature is active (a value above 0) and "
            f"{MIN_PER_CLASS} on which it is not: {active} and {len(texts) - active} were sent."
        )
    return texts


def score_fields(score: Score, statistic: str, model: str) -> dict[str, Any]:
    """The fields that all responses share.

    Raises:
        ScoreFailed: the language model answered too few texts.
    """
    if score.estimate is None:
        cause = max(score.failures, key=lambda name: score.failures[name])
        raise ScoreFailed(f"There is no score. {score.reason}", cause)
    return {
        "score": score.estimate.value,
        "low": score.estimate.low,
        "high": score.estimate.high,
        "statistic": statistic,
        "method": score.method,
        "model": model,
        "seed": score.seed,
        "positives": score.positives,
        "negatives": score.negatives,
        "failures": score.failures,
    }


def by_number(score: Score) -> list[tuple[int, BreakdownRow]]:
    """The breakdown in the order of the request: scorers shuffle the texts."""
    rows = [(row.text.context, row) for row in score.breakdown]
    return sorted(((number, row) for number, row in rows if number is not None), key=lambda item: item[0])


async def score_embedding(
    body: ScoreEmbeddingRequest, settings: Settings, embedders: EmbedderRegistry
) -> ScoreEmbeddingResponse:
    """The share of pairs of an active and an inactive text in which the active one is nearer to the explanation.

    Raises:
        BadInput: the request exceeds a limit, or has too few texts of a class.
        EmbeddingFailed: the embedder gave no vectors.
    """
    texts = read_texts(body.activations, settings)
    embedder = embedders.by_key[embedders.preferred]
    try:
        score = await eleuther_embedding.score(body.explanation, texts, embedder.embed, embedder.title, body.seed)
    except EmbedderError as error:
        raise EmbeddingFailed(error.message) from None
    breakdown = [
        EmbeddedText(index=number, text=row.text.text, distance=row.text.distance, similarity=row.probability or 0.0)
        for number, row in by_number(score)
    ]
    return ScoreEmbeddingResponse(**score_fields(score, statistics.AUC, score.model), breakdown=breakdown)


async def score_fuzz_detection(
    body: ScoreFuzzDetectionRequest, settings: Settings, providers: Providers
) -> ScoreFuzzDetectionResponse:
    """How well a language model tells active from inactive texts by the explanation.

    Raises:
        BadInput: the request exceeds a limit, has too few texts of a class, or names an endpoint that is not allowed.
        NoKey: there is no key for the endpoint.
        ScoreFailed: the language model answered too few texts.
    """
    texts = read_texts(body.activations, settings)
    chosen = providers.pick(body)
    model = ScoringModel(chosen.provider, chosen.model, settings.max_tokens, settings.temperature)
    score = await classification.score(METHODS[body.type], body.explanation, texts, model, chosen.model, body.seed)
    breakdown = [
        ClassifiedText(
            index=number,
            str_tokens=list(row.text.tokens),
            activations=list(row.text.values),
            distance=row.text.distance,
            ground_truth=row.truth,
            prediction=row.prediction,
            highlighted=bool(row.marked),
            marked=list(row.marked),
            probability=row.probability,
            correct=row.correct,
            failure=row.failure,
        )
        for number, row in by_number(score)
    ]
    usage = model.counted_usage
    return ScoreFuzzDetectionResponse(
        **score_fields(score, statistics.BALANCED_ACCURACY, model.answered_by),
        breakdown=breakdown,
        profile=chosen.provider.profile.name,
        usage=Usage(**asdict(usage)) if usage else None,
        cost=model.paid,
    )
