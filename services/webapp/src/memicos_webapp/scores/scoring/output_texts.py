"""Scores by what a feature does to the model's output: steered texts, and the tokens that it raises."""

import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from memicos_autointerp_client.models import ScoreOutputRequest, ScoreOutputRequestKind, ScoreOutputResponse
from memicos_autointerp_core.scorers.interface import NOT_ACTIVE
from memicos_inference_client.models import CompletionRequest, CompletionResponse, SteerFeature

from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.errors import UpstreamFault
from memicos_webapp.features import repository as feature_repository
from memicos_webapp.scores.methods import OUTPUT_TEXTS
from memicos_webapp.scores.rows import OUTSIDE_CORPUS, Detail, NewScore
from memicos_webapp.scores.schemas import ScoreRequest, ScoreStep
from memicos_webapp.scores.scoring.task import ScoringResources, Task
from memicos_webapp.steering.strength_scale import default_strength

PROMPTS = (
    "The most important thing is",
    "I think that",
    "Yesterday we",
    "In my opinion, the best",
    "She opened the door and",
    "It is well known that",
    "My friend told me about",
    "At the end of the day,",
    "There was once a",
    "The report says that",
)
"""Beginnings of texts that say little about what comes next."""
TEMPERATURE = 0.7
FEATURES_DRAWN = 60
"""Random features that are read to find tokens which other features raise: some are dead."""


async def run(
    resources: ScoringResources, viewer: Viewer, request: ScoreRequest, task: Task
) -> AsyncGenerator[ScoreStep | NewScore]:
    """How far the score is, and at last the score.

    Raises:
        Fault: there is no score; the message says why.
    """
    parameters: dict[str, Any]
    if request.scorerType == OUTPUT_TEXTS:
        raised: list[str] = []
        others: list[str] = []
        strength = _strength(resources, task)
        parameters = {"texts": len(PROMPTS), "strength": strength, "temperature": TEMPERATURE}
        for number, prompt in enumerate(PROMPTS):
            yield ScoreStep(stage="texts", finished=number, total=len(PROMPTS))
            steered, unsteered = await _continuations(resources, request, task, prompt, strength)
            raised.append(steered)
            others.append(unsteered)
        yield ScoreStep(stage="texts", finished=len(PROMPTS), total=len(PROMPTS))
    else:
        raised = _distinct(task.detail.row.positive_tokens)[: resources.settings.score_texts]
        others = await _tokens_of_others(resources, viewer, request, task, set(raised))
        parameters = {"texts": len(raised)}
    kind: ScoreOutputRequestKind = "TEXTS" if request.scorerType == OUTPUT_TEXTS else "TOKENS"
    response = await resources.autointerp.score_output(
        ScoreOutputRequest(
            explanation=task.explanation.description, kind=kind, raised=raised, others=others, seed=request.seed
        )
    )
    yield _new_score(request, task, response, parameters)


def _strength(resources: ScoringResources, task: Task) -> float:
    """The strength that the steering page proposes."""
    proposed = default_strength(task.detail.row.max_activation, task.source.residual_norm)
    return min(proposed, resources.settings.steer_strength)


async def _continuations(
    resources: ScoringResources, request: ScoreRequest, task: Task, prompt: str, strength: float
) -> tuple[str, str]:
    """The steered and the unsteered continuation of a prompt.

    Raises:
        Fault: no inference server has the source, or it failed.
    """
    source = task.source
    feature = SteerFeature(model=source.model_id, source=source.name, index=task.detail.row.index, strength=strength)
    body = CompletionRequest(
        model=source.model_id,
        prompt=prompt,
        types=["STEERED", "DEFAULT"],
        features=[feature],
        n_completion_tokens=min(resources.settings.score_steered_tokens, resources.settings.steer_tokens),
        temperature=TEMPERATURE,
        seed=request.seed,
        steer_method="SIMPLE_ADDITIVE",
        strength_multiplier=1.0,
        freq_penalty=0.0,
    )
    texts: dict[str, str] = {}
    async with aclosing(resources.inference.complete(body, [source.name])) as events:
        async for event in events:
            if isinstance(event, CompletionResponse):
                texts = {output.type_: output.completion for output in event.outputs}
    if not texts.keys() >= {"STEERED", "DEFAULT"}:
        raise UpstreamFault("The inference server gave no steered and unsteered text; try again.")
    # a completion may be empty, or end within a character
    return tuple(texts[name].strip() or "(nothing)" for name in ("STEERED", "DEFAULT"))  # pyright: ignore[reportReturnType]


async def _tokens_of_others(
    resources: ScoringResources, viewer: Viewer, request: ScoreRequest, task: Task, own: set[str]
) -> list[str]:
    """The token that each of some random other features raises most; none of `own`, and none twice."""
    source, row = task.source, task.detail.row
    drawn = random.Random(f"tokens {request.seed}").sample(range(source.d_sae), min(FEATURES_DRAWN, source.d_sae))
    tokens: list[str] = []
    async with resources.database.snapshot() as session:
        for index in drawn:
            if index == row.index or len(tokens) == resources.settings.score_texts:
                continue
            found = await feature_repository.feature(session, viewer, source.model_id, source.name, index)
            if found is None or found[1].max_activation <= 0:
                continue
            token = next((token for token in _distinct(found[1].positive_tokens) if token not in own), None)
            if token is not None and token not in tokens:
                tokens.append(token)
    return tokens


def _distinct(tokens: list[str]) -> list[str]:
    """Tokens with text, without the spaces around it, each once."""
    return list(dict.fromkeys(token.strip() for token in tokens if token.strip()))


def _new_score(
    request: ScoreRequest, task: Task, response: ScoreOutputResponse, parameters: dict[str, Any]
) -> NewScore:
    rows = response.breakdown
    return NewScore(
        explanation_id=task.explanation.id,
        corpus_id=None,
        method=response.method,
        model=response.model,
        value=response.score,
        low=response.low,
        high=response.high,
        seed=request.seed,
        around=0,
        text_contexts=[OUTSIDE_CORPUS] * len(rows),
        text_positions=[0] * len(rows),
        text_distances=[1 if row.raised else NOT_ACTIVE for row in rows],
        text_answers=[row.similarity for row in rows],
        # PostgreSQL cannot store NUL
        text_details=[Detail(text=row.text.replace("\0", "␀")) for row in rows],
        parameters=parameters,
    )
