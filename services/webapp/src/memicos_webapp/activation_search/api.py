"""JSON API of search by text."""

from fastapi import APIRouter, Request

from memicos_webapp.accounts.viewer import ViewerDep
from memicos_webapp.activation_search import service, token_search
from memicos_webapp.activation_search.schemas import (
    SearchAllRequest,
    SearchAllResult,
    SearchAllResults,
    TopkRequest,
    TopkResult,
    TopkResults,
)
from memicos_webapp.activation_search.service import TextSearchQuery
from memicos_webapp.activation_search.token_search import TokenSearchQuery
from memicos_webapp.database.engine import DatabaseDep
from memicos_webapp.errors import ErrorBody
from memicos_webapp.inference.prompts import prompts_of
from memicos_webapp.inference.service import InferenceDep

router = APIRouter(
    tags=["search"],
    responses={
        400: {
            "model": ErrorBody,
            "description": "Unknown source, position outside the text, text over the token limit, too many texts, or a "
            "conversation for a model without a chat template",
        },
        404: {"model": ErrorBody, "description": "Unknown model or source set"},
        413: {"model": ErrorBody, "description": "The body is too large"},
        502: {"model": ErrorBody, "description": "The inference server failed, or its response cannot be read"},
        503: {"model": ErrorBody, "description": "Inference is down, loading or busy; Retry-After says when to repeat"},
    },
)


def _max_density(threshold: float) -> float | None:
    return threshold if threshold > 0 else None


@router.post(
    "/search-all", summary="Search features by activation on a text", response_model=SearchAllResult | SearchAllResults
)
async def search_all(
    request: Request, database: DatabaseDep, viewer: ViewerDep, inference: InferenceDep, body: SearchAllRequest
) -> SearchAllResult | SearchAllResults:
    """The features of a source set that are most active on a text, over all its sources.

    A list of texts gives `results`, one for each, in their order. `rank` chooses between the activation itself and its
    share of the feature's maximum activation. The number of texts (MEMICOS_TEXTS_AT_ONCE) and their length in tokens
    (TOKEN_LIMIT of the inference server) have limits; beyond them the response is 400.
    """
    prompts = prompts_of(request.app.state.settings, body, body.text, "text")
    query = TextSearchQuery(
        sources=await service.sources_of(database, viewer, body.model_id, body.source_set, body.selected_layers),
        positions=body.sort_indexes,
        ignore_bos=body.ignore_bos,
        max_density=_max_density(body.density_threshold),
        limit=body.num_results,
        rank=body.rank,
    )
    results = [
        SearchAllResult.from_results(query, await service.search(database, viewer, inference, query, prompt))
        for prompt in prompts
    ]
    return SearchAllResults(results=results) if isinstance(body.text, list) else results[0]


@router.post(
    "/search-topk-by-token", summary="Most active features at each token", response_model=TopkResult | TopkResults
)
async def search_topk_by_token(
    request: Request, database: DatabaseDep, viewer: ViewerDep, inference: InferenceDep, body: TopkRequest
) -> TopkResult | TopkResults:
    """The most active features of one source at each token of a text.

    A list of texts gives `results`, one for each, in their order. The number of texts (MEMICOS_TEXTS_AT_ONCE) and
    their length in tokens (TOKEN_LIMIT of the inference server) have limits; beyond them the response is 400.
    """
    prompts = prompts_of(request.app.state.settings, body, body.text, "text")
    query = TokenSearchQuery(
        source=await token_search.source_of(database, viewer, body.model_id, body.source),
        ignore_bos=body.ignore_bos,
        max_density=_max_density(body.density_threshold),
        limit=body.num_results,
    )
    results = [
        TopkResult.from_results(
            await token_search.search_by_token(database, viewer, inference, query, prompt), body.ignore_bos
        )
        for prompt in prompts
    ]
    return TopkResults(results=results) if isinstance(body.text, list) else results[0]
