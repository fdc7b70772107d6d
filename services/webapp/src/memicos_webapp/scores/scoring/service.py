"""Scores an explanation from its feature's dashboard: chooses texts, has them judged, and stores the score."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

from memicos_autointerp_client.models import (
    ScoreExplanationRequest,
    ScoreExplanationRequestMethod,
    ScoreExplanationResponse,
    TextToScore,
)
from memicos_autointerp_core.scorers.interface import ScoredText
from memicos_autointerp_core.scorers.sampling import NEIGHBOURS, near_miss_count

from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.database.engine import Database
from memicos_webapp.errors import BadInput, NotFound, Refused
from memicos_webapp.explanations import repository as explanations
from memicos_webapp.features import repository as feature_repository
from memicos_webapp.features import service as features
from memicos_webapp.features.rows import FeatureRow
from memicos_webapp.provider_keys import service as provider_keys
from memicos_webapp.scores import repository
from memicos_webapp.scores.methods import EMBEDDING, METHODS
from memicos_webapp.scores.rows import OUTSIDE_CORPUS, Detail, NewScore, ScoreRow
from memicos_webapp.scores.schemas import ScoreRequest, ScoreStep
from memicos_webapp.scores.scoring import output_texts
from memicos_webapp.scores.scoring.inactive import InactiveSearch
from memicos_webapp.scores.scoring.sampling import (
    active_texts,
    near_places,
    random_contexts,
    random_places,
    too_few,
)
from memicos_webapp.scores.scoring.task import Judge, ScoringResources, Task


async def prepare(resources: ScoringResources, viewer: Viewer, request: ScoreRequest) -> Task:
    """Check a request, and read what it needs from the database.

    Raises:
        NotFound: the viewer can read no such explanation.
        BadInput: method, profile or model is unknown, or the feature is never active.
        Conflict: the key that the viewer stored for the profile cannot be used.
        Unavailable, UpstreamFault: the autointerp server does not answer.
    """
    method = METHODS.get(request.scorerType)
    if method is None:
        raise BadInput(f"There is no score type {request.scorerType!r}; available: {', '.join(METHODS)}.")
    settings = resources.settings
    async with resources.database.snapshot() as session:
        found = await explanations.explanation(session, viewer, request.explanationId)
        if found is None:
            raise NotFound(f"There is no explanation {request.explanationId} here.")
        explanation, source = found
        detail = await features.find(session, viewer, source.model_id, source.name, explanation.index)
        if not detail.live:
            raise BadInput(f"{detail.path[1:]} never fires in its corpus: there are no texts to score it on.")
        neighbours: list[FeatureRow] = []
        indices = detail.row.neighbour_indices[:NEIGHBOURS] if request.nearMisses else []
        for index in indices:
            neighbour = await feature_repository.feature(session, viewer, source.model_id, source.name, index)
            if neighbour is not None:
                neighbours.append(neighbour[1])
        drawn = (
            []
            if method.of_output
            else random_contexts(source, settings.score_contexts, request.seed, detail.row.example_contexts)
        )
        numbers = {*drawn, *(number for row in neighbours for number in row.example_contexts)}
        contexts = await feature_repository.contexts(session, source, numbers)
    judge = await _judge(resources, viewer, request) if method.asks_language_model else Judge()
    return Task(explanation, detail, judge, contexts, drawn, neighbours)


async def _judge(resources: ScoringResources, viewer: Viewer, request: ScoreRequest) -> Judge:
    server = await resources.autointerp.capabilities()
    name = (request.profile or "").strip() or None
    profile = server.profile(name)
    if profile is None:
        names = ", ".join(profile.name for profile in server.profiles)
        raise BadInput(f"The autointerp server has no profile {name!r}, only {names}.")
    model = (request.scorerModel or "").strip() or next(iter(profile.models), "")
    if not model:
        raise BadInput(f"Name a language model: the profile {profile.name} has no default one.")
    if _own_key(request):
        return Judge(model, name)
    stored = await provider_keys.find(resources.database, resources.settings, viewer, profile)
    return Judge(model, stored.profile if stored else name, stored)


def _own_key(request: ScoreRequest) -> str:
    """The key that the request sends; empty where it sends none."""
    return request.apiKey.get_secret_value().strip() if request.apiKey else ""


async def run(
    resources: ScoringResources, viewer: Viewer, request: ScoreRequest, task: Task
) -> AsyncGenerator[ScoreStep | ScoreRow]:
    """How far the score is, and at last the stored score. Closing the generator ends the work; nothing is stored then.

    Raises:
        Fault: there is no score; the message says why. Nothing is stored, and the next try starts anew.
    """
    if METHODS[request.scorerType].of_output:
        parts = output_texts.run(resources, viewer, request, task)
    else:
        parts = _judged(resources, request, task)
    async with aclosing(parts):
        async for part in parts:
            if isinstance(part, ScoreStep):
                yield part
            else:
                yield await _store(resources.database, viewer, part)


async def _judged(
    resources: ScoringResources, request: ScoreRequest, task: Task
) -> AsyncGenerator[ScoreStep | NewScore]:
    count, around = resources.settings.score_texts, resources.settings.score_tokens
    row, seed = task.detail.row, request.seed
    active = active_texts(task.source, row, task.detail.contexts, count, around, seed)
    search = InactiveSearch(resources.inference, task.source, row.index, task.contexts, around)
    wanted = near_miss_count(count) if task.neighbours else 0
    near: list[ScoredText] = []
    others: list[ScoredText] = []
    yield ScoreStep(stage="texts", finished=0, total=count)
    if wanted:
        async with aclosing(search.find(near_places(task.neighbours, row, wanted, seed), wanted)) as parts:
            async for near in parts:
                yield ScoreStep(stage="texts", finished=len(near), total=count)
    contexts = [task.contexts[number] for number in task.random if number in task.contexts]
    places = random_places(task.source, contexts, around, seed)
    async with aclosing(search.find(places, count - len(near), near)) as parts:
        async for others in parts:
            yield ScoreStep(stage="texts", finished=len(near) + len(others), total=count)
    texts = [*active, *near, *others]
    if fault := too_few(len(active), len(near) + len(others)):
        raise fault
    async with aclosing(resources.autointerp.score(_body(request, task, texts))) as events:
        async for event in events:
            if isinstance(event, ScoreExplanationResponse):
                parameters = {"texts": count, "near_misses": len(near), "attempt": request.attempt}
                yield _new_score(request, task, texts, event, around, parameters)
            else:
                yield ScoreStep(stage="model", finished=event.finished, total=event.requests, cost=event.cost)


def _body(request: ScoreRequest, task: Task, texts: list[ScoredText]) -> ScoreExplanationRequest:
    stored = task.judge.stored_key
    key = stored.key.get_secret_value() if stored else _own_key(request)
    return ScoreExplanationRequest(
        activations=[
            TextToScore(tokens=list(text.tokens), values=list(text.values), distance=text.distance) for text in texts
        ],
        explanation=task.explanation.description,
        method=cast(ScoreExplanationRequestMethod, request.scorerType),
        model=task.judge.model or None,
        profile=task.judge.profile,
        api_key=key or None,
        base_url=stored.base_url if stored else None,
        seed=request.seed,
        attempt=request.attempt,
    )


def _new_score(
    request: ScoreRequest,
    task: Task,
    texts: list[ScoredText],
    response: ScoreExplanationResponse,
    around: int,
    parameters: dict[str, Any],
) -> NewScore:
    details = []
    for row in response.breakdown:
        detail = Detail()
        if row.marked:
            detail["marked"] = row.marked
        if row.expected is not None:
            detail["expected"] = row.expected
        if row.failure is not None:
            detail["failure"] = row.failure
        details.append(detail)
    usage = response.usage
    return NewScore(
        explanation_id=task.explanation.id,
        corpus_id=task.source.corpus_id,
        method=response.method,
        model=response.model if request.scorerType == EMBEDDING else task.judge.model,
        value=response.score,
        low=response.low,
        high=response.high,
        seed=request.seed,
        around=around,
        text_contexts=[OUTSIDE_CORPUS if text.context is None else text.context for text in texts],
        text_positions=[text.position or 0 for text in texts],
        text_distances=[text.distance for text in texts],
        text_answers=[row.probability for row in response.breakdown],
        text_details=details,
        parameters=parameters,
        profile=response.profile,
        template_version=response.template_version,
        prompt_tokens=usage.prompt_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else None,
        cost=response.cost,
    )


async def _store(database: Database, viewer: Viewer, new: NewScore) -> ScoreRow:
    async with database.transaction() as session:
        if await explanations.explanation(session, viewer, new.explanation_id) is None:
            raise NotFound(f"Explanation {new.explanation_id} was deleted while it was scored.")
        score_id = await repository.put(session, viewer, new)
        found = await repository.score(session, viewer, score_id)
    if found is None:
        raise NotFound(f"There is no score {score_id} here.")
    return found[0]


async def delete(database: Database, viewer: Viewer, score_id: int) -> str:
    """Delete a score of the viewer's own; returns the path of its feature's page.

    Raises:
        NotFound: the viewer can read no such score.
        Refused: its author is another account, or it is a dataset's.
    """
    async with database.transaction() as session:
        found = await repository.score(session, viewer, score_id)
        if found is None:
            raise NotFound(f"There is no score {score_id} here.")
        score, explanation, source = found
        if score.author_id is None or score.author_id != viewer.account_id:
            raise Refused(f"Score {score_id} is by {score.author or 'a dataset'}: only its author can delete it.")
        await repository.delete(session, viewer, score_id)
        return f"{source.path}/{explanation.index}"
