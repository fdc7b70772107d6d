"""JSON API of search of explanations."""

from fastapi import APIRouter

from memicos_webapp.accounts.viewer import ViewerDep
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.errors import ErrorBody
from memicos_webapp.explanation_search import service
from memicos_webapp.explanation_search.schemas import (
    ExplanationSearchResult,
    SearchAllBody,
    SearchBody,
    SearchCriteria,
    SearchModelBody,
    SearchReleaseBody,
    SearchSourcesBody,
)
from memicos_webapp.explanation_search.service import SearchDep, SearchQuery, SearchResources, SearchScope

router = APIRouter(
    tags=["explanation"],
    responses={
        400: {
            "model": ErrorBody,
            "description": "The query is too short or too long, or no density is between minDensity and maxDensity",
        },
        404: {"model": ErrorBody, "description": "Unknown model, source or release"},
        413: {"model": ErrorBody, "description": "The body is too large"},
        429: {
            "model": ErrorBody,
            "description": "The limit of paid searches by meaning, per visitor or in all, is reached; Retry-After says "
            "when to repeat. byMeaning false still works",
        },
        502: {"model": ErrorBody, "description": "The embedder failed"},
    },
)


async def _search(
    search: SearchResources, viewer: Viewer, body: SearchBody, scope: SearchScope
) -> ExplanationSearchResult:
    query = SearchQuery(body.query, scope, body.offset, body.minDensity, body.maxDensity, body.byMeaning)
    results = await service.search(search, viewer, query)
    return ExplanationSearchResult.from_results(SearchCriteria.model_validate(body.model_dump()), results)


@router.post(
    "/explanation/search", summary="Search explanations in sources of a model", response_model=ExplanationSearchResult
)
async def search_explanations(search: SearchDep, viewer: ViewerDep, body: SearchSourcesBody) -> ExplanationSearchResult:
    """Features of some sources of a model whose explanations match a query.

    Results come in pages: repeat the request with `offset` set to the `nextOffset` of the response. Beyond the limit on
    paid searches by meaning (429), and where the embedder failed (502), `byMeaning` false still works.
    """
    return await _search(search, viewer, body, SearchScope(model=body.modelId, sources=tuple(body.layers)))


@router.post("/explanation/search-all", summary="Search all explanations", response_model=ExplanationSearchResult)
async def search_explanations_all(search: SearchDep, viewer: ViewerDep, body: SearchAllBody) -> ExplanationSearchResult:
    """Features of every model whose explanations match a query.

    Results come in pages: repeat the request with `offset` set to the `nextOffset` of the response. Beyond the limit on
    paid searches by meaning (429), and where the embedder failed (502), `byMeaning` false still works.
    """
    return await _search(search, viewer, body, SearchScope())


@router.post(
    "/explanation/search-model", summary="Search explanations of a model", response_model=ExplanationSearchResult
)
async def search_explanations_model(
    search: SearchDep, viewer: ViewerDep, body: SearchModelBody
) -> ExplanationSearchResult:
    """Features of a model whose explanations match a query.

    Results come in pages: repeat the request with `offset` set to the `nextOffset` of the response. Beyond the limit on
    paid searches by meaning (429), and where the embedder failed (502), `byMeaning` false still works.
    """
    return await _search(search, viewer, body, SearchScope(model=body.modelId))


@router.post(
    "/explanation/search-release", summary="Search explanations of a release", response_model=ExplanationSearchResult
)
async def search_explanations_release(
    search: SearchDep, viewer: ViewerDep, body: SearchReleaseBody
) -> ExplanationSearchResult:
    """Features of a release whose explanations match a query.

    Results come in pages: repeat the request with `offset` set to the `nextOffset` of the response. Beyond the limit on
    paid searches by meaning (429), and where the embedder failed (502), `byMeaning` false still works.
    """
    return await _search(search, viewer, body, SearchScope(release=body.releaseName))
