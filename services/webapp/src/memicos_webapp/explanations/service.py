"""Explanations of features: generate one with a language model, delete one, choose the feature's label."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog import repository as catalog
from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.catalog.service import load_replaced, unknown_source
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.database.engine import Database
from memicos_webapp.embeddings.background import BackgroundEmbedder
from memicos_webapp.errors import BadInput, NotFound, Refused
from memicos_webapp.explanations import repository
from memicos_webapp.explanations.autointerp_client import AutointerpClient, ExplainOptions
from memicos_webapp.explanations.evidence import Evidence, similar_texts, top_texts
from memicos_webapp.explanations.methods import METHODS, ExplanationMethod, current_name
from memicos_webapp.explanations.rows import ListedExplanation
from memicos_webapp.explanations.schemas import GenerateRequest
from memicos_webapp.features import repository as feature_repository
from memicos_webapp.features import service as features
from memicos_webapp.features.rows import ExplanationRow
from memicos_webapp.provider_keys import service as provider_keys
from memicos_webapp.scores import repository as score_repository
from memicos_webapp.scores.rows import ScoreRow
from memicos_webapp.settings import Settings


@dataclass(frozen=True)
class FeatureExplanations:
    """All explanations of a feature, its label first."""

    source: SourceInfo
    index: int
    explanations: list[ExplanationRow]
    scores: dict[int, list[ScoreRow]]
    """Scores by the explanation's id."""

    @property
    def path(self) -> str:
        """The feature's page."""
        return f"{self.source.path}/{self.index}"


@dataclass(frozen=True)
class GeneratedExplanation:
    """A new explanation, and all explanations of its feature."""

    explanation: ExplanationRow
    feature: FeatureExplanations


@dataclass(frozen=True)
class ExplanationResources:
    """Dependencies of the functions for explanations."""

    database: Database
    autointerp: AutointerpClient
    background_embedder: BackgroundEmbedder
    settings: Settings


async def _resources(request: Request) -> ExplanationResources:
    state = request.app.state
    return ExplanationResources(state.database, state.autointerp, state.background_embedder, state.settings)


ExplanationsDep = Annotated[ExplanationResources, Depends(_resources)]

NEWEST = 20
"""Explanations on the page of a method."""

DUPLICATE = "An auto-interp with this explanation type and model already exists."


async def _options(resources: ExplanationResources, viewer: Viewer, request: GenerateRequest) -> ExplainOptions:
    """Method, profile, model and key of a request, checked against what the autointerp server has.

    Raises:
        BadInput: the server has no such method or profile, or the profile no default model.
        Conflict: the key that the viewer stored for the profile cannot be used.
    """
    server = await resources.autointerp.capabilities()
    method = current_name(request.explanationType)
    if method not in server.explainers:
        raise BadInput(
            f"Unsupported explanation type/model: there is no type {request.explanationType!r} here, only "
            f"{', '.join(server.explainers)}."
        )
    name = (request.profile or "").strip() or None
    profile = server.profile(name)
    if profile is None:
        names = ", ".join(profile.name for profile in server.profiles)
        raise BadInput(f"The autointerp server has no profile {name!r}, only {names}.")
    model = (request.explanationModelName or "").strip() or next(iter(profile.models), "")
    if not model:
        raise BadInput(f"Name a language model: the profile {profile.name} has no default one.")
    if request.apiKey and request.apiKey.get_secret_value().strip():
        return ExplainOptions(method, model, name, request.apiKey)
    stored = await provider_keys.find(resources.database, resources.settings, viewer, profile)
    if stored is None:
        return ExplainOptions(method, model, name)
    return ExplainOptions(method, model, stored.profile, stored.key, stored.base_url)


async def generate(resources: ExplanationResources, viewer: Viewer, request: GenerateRequest) -> GeneratedExplanation:
    """Have a language model explain a feature, and store the explanation. It is embedded in the background.

    No database connection is held while the language model runs.

    Raises:
        NotFound: model, source or index is unknown.
        BadInput: type, profile or model is unknown, the feature never fires or lacks what the type needs, or there is
            such an explanation.
        Conflict: the key that the viewer stored for the profile cannot be used.
        NotConfigured: the autointerp server has no key.
        UpstreamFault, Unavailable: the autointerp server or the language model gave no explanation, or an import
            replaced the feature's texts meanwhile. Nothing is stored.
    """
    settings = resources.settings
    async with resources.database.snapshot() as session:
        detail = await features.find(session, viewer, request.model_id, request.source, request.index)
        if not detail.live:
            raise BadInput(f"{detail.path[1:]} never fires in its corpus: there are no texts to explain it by.")
        negatives = (
            await similar_texts(
                session, viewer, detail.source, detail.row, settings.explain_negatives, settings.explain_tokens
            )
            if request.contrastive
            else []
        )
    options = await _options(resources, viewer, request)
    source, index = detail.source, request.index
    async with resources.database.snapshot() as session:
        if await repository.exists(session, source, index, options.method, options.model):
            raise BadInput(DUPLICATE)
    texts = top_texts(detail, settings.explain_activations, settings.explain_tokens)
    answer = await resources.autointerp.explain(Evidence(texts, detail.row.positive_tokens, negatives), options)
    async with resources.database.transaction() as session:
        explanation_id = await repository.add(session, viewer, source, index, options, answer)
        if explanation_id is None:
            raise BadInput(DUPLICATE)
        # After the insert: its foreign key locks the source's row, so no import shows another load before the commit.
        current = await catalog.refreshed(session, viewer, [source])
        if not current:
            raise await unknown_source(session, viewer, source.model_id, source.name)
        if current[0].load_id != source.load_id:
            raise load_replaced([source.name])
        feature = await _feature_explanations(session, source, index)
    resources.background_embedder.wake()
    return GeneratedExplanation(next(row for row in feature.explanations if row.id == explanation_id), feature)


async def delete(resources: ExplanationResources, viewer: Viewer, explanation_id: int) -> FeatureExplanations:
    """Delete an explanation of the viewer's own; returns the others of its feature.

    Raises:
        NotFound: the viewer can read no such explanation.
        Refused: its author is another account, or it is a dataset's.
    """
    async with resources.database.transaction() as session:
        explanation, source = await _find(session, viewer, explanation_id)
        if explanation.author_id is None or explanation.author_id != viewer.account_id:
            author = explanation.author or "a dataset"
            raise Refused(f"Explanation {explanation_id} is by {author}: only its author can delete it.")
        await repository.delete(session, explanation)
        return await _feature_explanations(session, source, explanation.index)


async def choose_label(
    resources: ExplanationResources, viewer: Viewer, explanation_id: int, chosen: bool
) -> FeatureExplanations:
    """Make an explanation the label of its feature, or with `chosen` false take the choice back.

    Raises:
        NotFound: the viewer can read no such explanation.
    """
    async with resources.database.transaction() as session:
        explanation, source = await _find(session, viewer, explanation_id)
        await repository.choose_label(session, explanation, chosen)
        return await _feature_explanations(session, source, explanation.index)


async def _find(session: AsyncSession, viewer: Viewer, explanation_id: int) -> tuple[ExplanationRow, SourceInfo]:
    explanation = await repository.explanation(session, viewer, explanation_id)
    if explanation is None:
        raise NotFound(f"There is no explanation {explanation_id} here.")
    return explanation


async def _feature_explanations(session: AsyncSession, source: SourceInfo, index: int) -> FeatureExplanations:
    rows = await feature_repository.explanations(session, source, [index])
    scores = await score_repository.of_feature(session, source, index)
    return FeatureExplanations(source, index, rows.get(index, []), scores)


async def newest(session: AsyncSession, viewer: Viewer, name: str) -> tuple[ExplanationMethod, list[ListedExplanation]]:
    """A method with the newest explanations that the viewer's listings show.

    Raises:
        NotFound: there is no such method.
    """
    method = METHODS.get(current_name(name))
    if method is None:
        raise NotFound(f"There is no explanation type {name!r}; available: {', '.join(METHODS)}.")
    return method, await repository.newest(session, viewer, method.name, NEWEST)
