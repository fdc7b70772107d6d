"""The page of search by meaning. Without JavaScript it is a form; with it, results change while one types."""

import json
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from memicos_webapp.accounts.viewer import ViewerDep
from memicos_webapp.errors import Fault
from memicos_webapp.explanation_search import service, view
from memicos_webapp.explanation_search.schemas import PageQuery
from memicos_webapp.explanation_search.service import SearchDep, SearchQuery, SearchScope
from memicos_webapp.templating import render

router = APIRouter(tags=["search"])


def _search_query(query: PageQuery, size: int) -> SearchQuery:
    scope = {
        "all": SearchScope(),
        "release": SearchScope(release=query.release_name),
        "model": SearchScope(model=query.model_id),
        "sources": SearchScope(model=query.model_id, sources=tuple(query.names)),
    }[query.scope]
    return SearchQuery(query.q, scope, (query.page - 1) * size, None, query.max_density)


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
    results, problem, status = None, None, 200
    if query.q.strip():
        try:
            results = await service.search(search, viewer, _search_query(query, size))
        except Fault as error:
            problem, status = error.message, error.status
    context = {
        "section": "search",
        "query": query,
        "answer": results,
        "problem": problem,
        "results": [view.result(hit) for hit in results.hits] if results else [],
        "first": (query.page - 1) * size + 1,
        "previous": _href(query, query.page - 1) if query.page > 1 else None,
        "next": _href(query, query.page + 1) if results and results.next_offset else None,
        "suggestions": [(text, view.link({"q": text})) for text in view.SUGGESTIONS],
    }
    if request.headers.get("hx-request") == "true" and request.headers.get("hx-target") == "results":
        return render(request, "explanation_search/_results.html", status_code=status, **context)
    choices = await service.choices(search, viewer)
    return render(
        request,
        "explanation_search/page.html",
        status_code=status,
        choices=choices,
        tabs=view.tabs(query, choices),
        **context,
    )
