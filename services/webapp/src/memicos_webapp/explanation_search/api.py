"""JSON of search by meaning."""

from fastapi import APIRouter

from memicos_webapp.errors import ErrorBody
from memicos_webapp.explanation_search import service, wire
from memicos_webapp.explanation_search.schemas import (
    ExplanationSearchResult,
    SearchAllBody,
    SearchBody,
    SearchedFor,
    SearchModelBody,
    SearchReleaseBody,
    SearchSourcesBody,
)
from memicos_webapp.explanation_search.service import Scope, Search, SearchDep, Wanted

router = APIRouter(
    tags=["explanation"],
    responses={
        400: {"model": ErrorBody, "description": "The query is too short or too long"},
        404: {"model": ErrorBody, "description": "Unknown model, source or release"},
        413: {"model": ErrorBody, "description": "The body is too large"},
        502: {"model": ErrorBody, "description": "The embedder failed"},
    },
)


async def _search(search: Search, body: SearchBody, scope: Scope) -> ExplanationSearchResult:
    wanted = Wanted(body.query, scope, body.offset, body.minDensity, body.maxDensity)
    found = await service.search(search, wanted)
    return wire.answer(SearchedFor.model_validate(body.model_dump()), found)


@router.post("/explanation/search", response_model=ExplanationSearchResult)
async def search_explanations(search: SearchDep, body: SearchSourcesBody) -> ExplanationSearchResult:
    """Features of some sources of a model whose explanations fit a query."""
    return await _search(search, body, Scope(model=body.modelId, sources=tuple(body.layers)))


@router.post("/explanation/search-all", response_model=ExplanationSearchResult)
async def search_explanations_all(search: SearchDep, body: SearchAllBody) -> ExplanationSearchResult:
    """Features whose explanations fit a query."""
    return await _search(search, body, Scope())


@router.post("/explanation/search-model", response_model=ExplanationSearchResult)
async def search_explanations_model(search: SearchDep, body: SearchModelBody) -> ExplanationSearchResult:
    """Features of a model whose explanations fit a query."""
    return await _search(search, body, Scope(model=body.modelId))


@router.post("/explanation/search-release", response_model=ExplanationSearchResult)
async def search_explanations_release(search: SearchDep, body: SearchReleaseBody) -> ExplanationSearchResult:
    """Features of a release whose explanations fit a query."""
    return await _search(search, body, Scope(release=body.releaseName))
