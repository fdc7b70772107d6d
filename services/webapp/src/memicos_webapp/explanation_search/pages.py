"""The page of search of explanations: a form; with JavaScript, results change while the user types."""

import json
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from memicos_webapp.accounts.viewer import ViewerDep
from memicos_webapp.errors import Fault, TooManyRequests
from memicos_webapp.explanation_search import service, view
from memicos_webapp.explanation_search.schemas import PageQuery
from memicos_webapp.explanation_search.service import SearchDep, SearchQuery, SearchScope
from memicos_webapp.templating import render

router = APIRouter(tags=["search"])


def _scope(query: PageQuery) -> SearchScope:
    return {
        "all": SearchScope(),
        "release": SearchScope(release=query.release_name),
        "model": SearchScope(model=query.model_id),
        "sources": SearchScope(model=query.model_id, sources=tuple(query.names)),
    }[query.scope]


def _search_query(query: PageQuery, size: int) -> SearchQuery:
    return SearchQuery(query.q, _scope(query), (query.page - 1) * size, None, query.max_density)


def _href(query: PageQuery, page: int) -> str:
    values: dict[str, object] = {"q": query.q, "releaseName": query.release_name, "modelId": query.model_id}
    if query.scope == "sources":
        values["sources"] = json.dumps(query.names, separators=(",", ":"))
    return view.link({**values, "maxDensity": query.max_density, "page": page})


@router.get("/search-explanations", response_class=HTMLResponse)
async def search_explanations_page(
    request: Request, search: SearchDep, viewer: ViewerDep, query: Annotated[PageQuery, Query()]
) -> HTMLResponse:
    size = search.settings.search_page
    results, problem, notice, status, headers = None, None, None, 200, None
    if query.q.strip():
        search_query = _search_query(query, size)
        try:
            try:
                results = await service.search(search, viewer, search_query)
            except TooManyRequests as limit:
                notice, headers = limit.message, limit.headers
                results = await service.search(search, viewer, replace(search_query, by_meaning=False))
        except Fault as fault:
            problem, status, headers = fault.message, fault.status, fault.headers
    context = {
        "section": "search",
        "query": query,
        "search_results": results,
        "problem": problem,
        "notice": notice,
        "results": [view.result(hit) for hit in results.hits] if results else [],
        "first": (query.page - 1) * size + 1,
        "previous": _href(query, query.page - 1) if query.page > 1 else None,
        "next": _href(query, query.page + 1) if results and results.next_offset else None,
        "suggestions": [(text, view.link({"q": text})) for text in view.SUGGESTIONS],
    }
    if request.headers.get("hx-request") == "true" and request.headers.get("hx-target") == "results":
        return render(request, "explanation_search/_results.html", status_code=status, headers=headers, **context)
    choices = await service.choices(search, viewer, _scope(query))
    return render(
        request,
        "explanation_search/page.html",
        status_code=status,
        headers=headers,
        choices=choices,
        tabs=view.tabs(query, choices),
        **context,
    )
