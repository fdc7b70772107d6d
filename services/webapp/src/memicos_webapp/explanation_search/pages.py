"""The page of search by meaning. Without JavaScript it is a form; with it, results change while one types."""

import json
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from memicos_webapp.errors import Fault
from memicos_webapp.explanation_search import service, view
from memicos_webapp.explanation_search.schemas import PageQuery
from memicos_webapp.explanation_search.service import Scope, SearchDep, Wanted
from memicos_webapp.templating import render

router = APIRouter(tags=["search"])


def _wanted(query: PageQuery, size: int) -> Wanted:
    scope = {
        "all": Scope(),
        "release": Scope(release=query.release_name),
        "model": Scope(model=query.model_id),
        "sources": Scope(model=query.model_id, sources=tuple(query.names)),
    }[query.scope]
    return Wanted(query.q, scope, (query.page - 1) * size, None, query.max_density)


def _href(query: PageQuery, page: int) -> str:
    values: dict[str, object] = {"q": query.q, "releaseName": query.release_name, "modelId": query.model_id}
    if query.scope == "sources":
        values["sources"] = json.dumps(query.names, separators=(",", ":"))
    return view.link({**values, "maxDensity": query.max_density, "page": page})


@router.get("/search-explanations", response_class=HTMLResponse)
async def search_explanations_page(
    request: Request, search: SearchDep, query: Annotated[PageQuery, Query()]
) -> HTMLResponse:
    size = search.settings.search_page
    answer, problem, status = None, None, 200
    if query.q.strip():
        try:
            answer = await service.search(search, _wanted(query, size))
        except Fault as error:
            problem, status = error.message, error.status
    context = {
        "section": "search",
        "query": query,
        "answer": answer,
        "problem": problem,
        "results": [view.result(hit) for hit in answer.hits] if answer else [],
        "first": (query.page - 1) * size + 1,
        "previous": _href(query, query.page - 1) if query.page > 1 else None,
        "next": _href(query, query.page + 1) if answer and answer.next_offset else None,
        "suggestions": [(text, view.link({"q": text})) for text in view.SUGGESTIONS],
    }
    if request.headers.get("hx-request") == "true" and request.headers.get("hx-target") == "results":
        return render(request, "explanation_search/_results.html", status_code=status, **context)
    choices = await service.choices(search)
    return render(
        request,
        "explanation_search/page.html",
        status_code=status,
        choices=choices,
        tabs=view.tabs(query, choices),
        **context,
    )
