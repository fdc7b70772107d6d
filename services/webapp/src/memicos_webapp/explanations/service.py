"""Explaining a feature with a language model: what it is shown, and what is stored."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from memicos_autointerp_client.models import Activation
from memicos_dataset.schema import TOP_GROUP

from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.database.engine import Database
from memicos_webapp.embeddings.background import BackgroundEmbedder
from memicos_webapp.errors import BadInput
from memicos_webapp.explanations import repository
from memicos_webapp.explanations.autointerp_client import AutointerpClient
from memicos_webapp.explanations.schemas import METHOD, GenerateRequest
from memicos_webapp.features import repository as feature_repository
from memicos_webapp.features import service as features
from memicos_webapp.features.rows import ExplanationRow
from memicos_webapp.features.service import Found
from memicos_webapp.settings import Settings


@dataclass(frozen=True)
class Explained:
    """A new explanation among all of its feature, the one that serves as label first."""

    source: SourceInfo
    new: ExplanationRow
    all: list[ExplanationRow]


def texts(found: Found, most: int, around: int) -> list[Activation]:
    """The strongest distinct texts of a feature, `around` tokens on each side of the position that counts."""
    row = found.row
    # the prepended BOS is no part of the text
    first = 1 if found.source.recipe["prepend_bos"] else 0
    made: dict[tuple[str, ...], Activation] = {}
    places = zip(row.example_groups, row.example_contexts, row.example_positions, row.example_values(), strict=True)
    for group, number, position, values in places:
        if group != TOP_GROUP:
            continue
        tokens = found.contexts[number].tokens
        start, end = max(first, position - around), min(len(tokens), position + around + 1)
        shown = tokens[start:end]
        made.setdefault(tuple(shown), Activation(tokens=shown, values=[values.get(i, 0.0) for i in range(start, end)]))
    return list(made.values())[:most]


@dataclass(frozen=True)
class Explainer:
    """What explaining needs of the server."""

    database: Database
    autointerp: AutointerpClient
    background_embedder: BackgroundEmbedder
    settings: Settings


async def explainer(request: Request) -> Explainer:
    state = request.app.state
    return Explainer(state.database, state.autointerp, state.background_embedder, state.settings)


ExplainerDep = Annotated[Explainer, Depends(explainer)]

DUPLICATE = "An auto-interp with this explanation type and model already exists."


async def generate(server: Explainer, viewer: Viewer, wanted: GenerateRequest) -> Explained:
    """Have a feature explained by a language model and store the answer; its vector follows in the background.

    No database connection is held while the language model thinks.

    Raises:
        NotFound: model, source or index is unknown.
        BadInput: the type is unknown, the feature never fires, or there is such an explanation.
        Fault: there is no explanation, and nothing is stored; the words say why.
    """
    if wanted.explanationType != METHOD:
        raise BadInput(
            f"Unsupported explanation type/model: there is no type {wanted.explanationType!r} here, only {METHOD}."
        )
    async with server.database.snapshot() as session:
        found = await features.find(session, viewer, wanted.model_id, wanted.source, wanted.index)
    if not found.live:
        raise BadInput(f"{found.path[1:]} never fires in its corpus: there are no texts to explain it by.")
    model = (wanted.explanationModelName or "").strip() or await server.autointerp.default_model()
    source, index = found.source, wanted.index
    async with server.database.snapshot() as session:
        if await repository.exists(session, source, index, METHOD, model):
            raise BadInput(DUPLICATE)
    shown = texts(found, server.settings.explain_activations, server.settings.explain_tokens)
    # PostgreSQL's text has no NUL
    description = (await server.autointerp.explain(shown, model)).replace("\0", "␀")
    async with server.database.transaction() as session:
        number = await repository.add(session, source, index, description, METHOD, model)
        if number is None:
            raise BadInput(DUPLICATE)
        rows = (await feature_repository.explanations(session, source, [index]))[index]
    server.background_embedder.wake()
    return Explained(source, next(row for row in rows if row.id == number), rows)
