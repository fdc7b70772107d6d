"""Scores by what a feature does to the model's output: steered texts, and the tokens that it raises."""

import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from memicos_autointerp_client.models import ScoreOutputRequest, ScoreOutputRequestKind, ScoreOutputResponse
from memicos_autointerp_core.scorers.interface import NOT_ACTIVE
from memicos_inference_client.models import CompletionRequest, CompletionResponse, SteerFeature

from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.database.engine import Database
from memicos_webapp.errors import UpstreamFault
from memicos_webapp.features import repository as feature_repository
from memicos_webapp.features.rows import FeatureRow
from memicos_webapp.inference.service import Inference
from memicos_webapp.scores.methods import OUTPUT_TEXTS
from memicos_webapp.scores.rows import OUTSIDE_CORPUS, Detail, NewScore
from memicos_webapp.scores.schemas import ScoreRequest, ScoreStep
from memicos_webapp.scores.scoring.task import ScoringResources, Task
from memicos_webapp.settings import Settings
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
    row, seed = task.detail.row, request.seed
    found = OutputTexts()
    if request.scorerType == OUTPUT_TEXTS:
        yield ScoreStep(stage="texts", finished=0, total=len(PROMPTS))
        async for found in steered_texts(resources.inference, resources.settings, task.source, row, seed):
            yield ScoreStep(stage="texts", finished=len(found.raised), total=len(PROMPTS))
    else:
        found = await raised_tokens(resources.database, resources.settings, viewer, task.source, row, seed)
    kind: ScoreOutputRequestKind = "TEXTS" if request.scorerType == OUTPUT_TEXTS else "TOKENS"
    response = await resources.autointerp.score_output(
        ScoreOutputRequest(
            explanation=task.explanation.description, kind=kind, raised=found.raised, others=found.others, seed=seed
        )
    )
    yield _new_score(request, task, response, found.parameters)


@dataclass(frozen=True)
class OutputTexts:
    """Texts or tokens that the feature raises, and others; `parameters`: how they were made."""

    raised: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)


async def steered_texts(
    inference: Inference, settings: Settings, source: SourceInfo, row: FeatureRow, seed: int
) -> AsyncGenerator[OutputTexts]:
    """Continuations of each of PROMPTS with the feature added, at the strength that the steering page proposes, and
    without it: those so far, after each prompt; the last ones are all.

    Raises:
        Fault: no inference server has the source, or it failed.
    """
    strength = min(default_strength(row.max_activation, source.residual_norm), settings.steer_strength)
    found = OutputTexts(parameters={"texts": len(PROMPTS), "strength": strength, "temperature": TEMPERATURE})
    for prompt in PROMPTS:
        steered, unsteered = await _continuations(inference, settings, source, row, prompt, strength, seed)
        found.raised.append(steered)
        found.others.append(unsteered)
        yield found


async def _continuations(
    inference: Inference,
    settings: Settings,
    source: SourceInfo,
    row: FeatureRow,
    prompt: str,
    strength: float,
    seed: int,
) -> tuple[str, str]:
    """The steered and the unsteered continuation of a prompt.

    Raises:
        Fault: no inference server has the source, or it failed.
    """
    feature = SteerFeature(model=source.model_id, source=source.name, index=row.index, strength=strength)
    body = CompletionRequest(
        model=source.model_id,
        prompt=prompt,
        types=["STEERED", "DEFAULT"],
        features=[feature],
        n_completion_tokens=min(settings.score_steered_tokens, settings.steer_tokens),
        temperature=TEMPERATURE,
        seed=seed,
        steer_method="SIMPLE_ADDITIVE",
        strength_multiplier=1.0,
        freq_penalty=0.0,
    )
    texts: dict[str, str] = {}
    async with aclosing(inference.complete(body, [source.name])) as events:
        async for event in events:
            if isinstance(event, CompletionResponse):
                texts = {output.type_: output.completion for output in event.outputs}
    if not texts.keys() >= {"STEERED", "DEFAULT"}:
        raise UpstreamFault("The inference server gave no steered and unsteered text; try again.")
    # a completion may be empty, or end within a character
    return tuple(texts[name].strip() or "(nothing)" for name in ("STEERED", "DEFAULT"))  # pyright: ignore[reportReturnType]


async def raised_tokens(
    database: Database, settings: Settings, viewer: Viewer, source: SourceInfo, row: FeatureRow, seed: int
) -> OutputTexts:
    """The tokens that the feature raises most, and the token that each of some random other features raises most; none
    twice."""
    raised = _distinct(row.positive_tokens)[: settings.score_texts]
    drawn = random.Random(f"tokens {seed}").sample(range(source.d_sae), min(FEATURES_DRAWN, source.d_sae))
    tokens: list[str] = []
    async with database.snapshot() as session:
        for index in drawn:
            if index == row.index or len(tokens) == settings.score_texts:
                continue
            found = await feature_repository.feature(session, viewer, source.model_id, source.name, index)
            if found is None or found[1].max_activation <= 0:
                continue
            token = next((token for token in _distinct(found[1].positive_tokens) if token not in raised), None)
            if token is not None and token not in tokens:
                tokens.append(token)
    return OutputTexts(raised, tokens, {"texts": len(raised)})


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
