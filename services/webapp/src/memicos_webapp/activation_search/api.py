"""JSON of search by own text."""

from fastapi import APIRouter, Request

from memicos_webapp.accounts.viewer import ViewerDep
from memicos_webapp.activation_search import service, wire
from memicos_webapp.activation_search.schemas import (
    SearchAllRequest,
    SearchAllResult,
    SearchAllResults,
    TopkRequest,
    TopkResult,
    TopkResults,
)
from memicos_webapp.database.engine import DatabaseDep
from memicos_webapp.errors import ErrorBody
from memicos_webapp.inference.service import InferenceDep, check_texts

router = APIRouter(
    tags=["search"],
    responses={
        400: {"model": ErrorBody, "description": "Unknown source, or a text over the limit"},
        404: {"model": ErrorBody, "description": "Unknown model or source set"},
        413: {"model": ErrorBody, "description": "The body is too large"},
        503: {"model": ErrorBody, "description": "Inference is down, loading or busy"},
    },
)


def _density(threshold: float) -> float | None:
    return threshold if threshold > 0 else None


@router.post("/search-all", response_model=SearchAllResult | SearchAllResults)
async def search_all(
    request: Request, database: DatabaseDep, viewer: ViewerDep, inference: InferenceDep, body: SearchAllRequest
) -> SearchAllResult | SearchAllResults:
    """The features of a source set that a text activates most, over all its sources at once.

    A list of texts is answered with `results`, one for each, in order.
    """
    texts = check_texts(request.app.state.settings, body.text)
    sources = await service.sources_of(database, viewer, body.model_id, body.source_set, body.selected_layers)
    query = service.Query(
        sources, body.sort_indexes, body.ignore_bos, _density(body.density_threshold), body.num_results
    )
    answers = [wire.features(query, await service.search(database, viewer, inference, query, text)) for text in texts]
    return answers[0] if isinstance(body.text, str) else SearchAllResults(results=answers)


@router.post("/search-topk-by-token", response_model=TopkResult | TopkResults)
async def search_topk_by_token(
    request: Request, database: DatabaseDep, viewer: ViewerDep, inference: InferenceDep, body: TopkRequest
) -> TopkResult | TopkResults:
    """The strongest features of one source at each token of a text.

    A list of texts is answered with `results`, one for each, in order.
    """
    texts = check_texts(request.app.state.settings, body.text)
    source = await service.source_of(database, viewer, body.model_id, body.source)
    answers = []
    for text in texts:
        found = await service.by_token(
            database,
            viewer,
            inference,
            source,
            text,
            body.num_results,
            body.ignore_bos,
            _density(body.density_threshold),
        )
        answers.append(wire.tokens(found, body.ignore_bos))
    return answers[0] if isinstance(body.text, str) else TopkResults(results=answers)
