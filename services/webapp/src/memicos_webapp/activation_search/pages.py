"""Pages of search by own text: features of all sources of a set, and the strongest ones token by token."""

from dataclasses import dataclass, replace

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from memicos_webapp import recipes
from memicos_webapp.accounts.viewer import ViewerDep
from memicos_webapp.activation_search import query as queries
from memicos_webapp.activation_search import service, view
from memicos_webapp.activation_search.query import PageQuery
from memicos_webapp.catalog import repository as catalog
from memicos_webapp.catalog.rows import SetInfo, SourceInfo
from memicos_webapp.catalog.service import listed
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.database.engine import Database, DatabaseDep
from memicos_webapp.errors import BadInput
from memicos_webapp.formatting import url_segment
from memicos_webapp.inference.pages import TEMPORARY, waiting
from memicos_webapp.inference.service import Inference, InferenceDep, check_texts
from memicos_webapp.settings import Settings
from memicos_webapp.templating import render

router = APIRouter(tags=["text-search"])

FEATURES, TOKENS = "/search", "/search-topk-by-token"
EXAMPLES = (
    "They met on March 4, 1861, and again on the 5th of April.",
    "The whale sank the ship, and the captain was lost at sea.",
    "def mean(values):\n    return sum(values) / len(values)",
)
PER_TOKEN = 6
"""Features shown at each token."""


@dataclass(frozen=True)
class Choice:
    """The query with a set that exists, and what can be chosen."""

    query: PageQuery
    sets: list[SetInfo]
    sources: list[SourceInfo]


async def _choice(database: Database, viewer: Viewer, query: PageQuery, one: bool) -> Choice:
    """`query` completed: the first set where it names none; its sources, or the middle one where `one` is needed."""
    async with database.snapshot() as session:
        sets = await catalog.sets(session, viewer)
        chosen = [
            found for found in sets if query.model in ("", found.model_id) and query.source_set in ("", found.name)
        ]
        if not chosen:
            if sets:
                known = listed([f"{found.model_id}/{found.name}" for found in sets])
                problem = f"There is no set {query.model}/{query.source_set}; there is {known}."
                return Choice(replace(query, problems=(*query.problems, problem)), sets, [])
            return Choice(query, [], [])
        sources = await catalog.sources_of_set(session, viewer, chosen[0].model_id, chosen[0].name, query.sources)
    known = [source.name for source in sources]
    names = [name for name in query.sources if name in known]
    if unknown := [name for name in query.sources if name not in known]:
        problem = f"{chosen[0].model_id}/{chosen[0].name} has no source {listed(unknown)}; it has {listed(known)}."
        query = replace(query, problems=(*query.problems, problem))
    if one:
        names = names[:1] or [known[len(known) // 2]]
    return Choice(
        replace(query, model=chosen[0].model_id, source_set=chosen[0].name, sources=tuple(names or known)),
        sets,
        sources,
    )


async def _page(request: Request, database: Database, viewer: Viewer, inference: Inference, path: str) -> HTMLResponse:
    by_token = path == TOKENS
    choice = await _choice(database, viewer, queries.read(request.query_params), by_token)
    query = choice.query
    status = await inference.status(query.model, list(query.sources))

    def example(text: str) -> str:
        return f"{path}?{replace(query, text=text, sort_indexes=()).params()}"

    return render(
        request,
        "activation_search/page.html",
        section="search",
        by_token=by_token,
        query=query,
        sets=choice.sets,
        sources=choice.sources,
        examples=[(text, example(text)) for text in EXAMPLES],
        features_href=f"{FEATURES}?{replace(query, sort_indexes=()).params()}",
        tokens_href=f"{TOKENS}?{replace(query, sort_indexes=()).params()}",
        action=path,
        results=f"{path}/results?{query.params()}",
        status=status,
        again=f"/{url_segment(query.model)}/inference",
    )


@router.get("/search", response_class=HTMLResponse)
async def search_page(
    request: Request, database: DatabaseDep, viewer: ViewerDep, inference: InferenceDep
) -> HTMLResponse:
    return await _page(request, database, viewer, inference, FEATURES)


@router.get("/search-topk-by-token", response_class=HTMLResponse)
async def token_search_page(
    request: Request, database: DatabaseDep, viewer: ViewerDep, inference: InferenceDep
) -> HTMLResponse:
    return await _page(request, database, viewer, inference, TOKENS)


@router.get("/search/sources", response_class=HTMLResponse)
async def search_sources(request: Request, database: DatabaseDep, viewer: ViewerDep, view: str = "") -> HTMLResponse:
    """The sources to choose from, for a form whose set was changed."""
    by_token = view == "tokens"
    query = replace(queries.read(request.query_params), sources=())
    choice = await _choice(database, viewer, query, by_token)
    return render(
        request, "activation_search/_sources.html", by_token=by_token, query=choice.query, sources=choice.sources
    )


async def _checked(request: Request, database: Database, viewer: Viewer, one: bool) -> Choice:
    choice = await _choice(database, viewer, queries.read(request.query_params), one)
    if choice.query.problems:
        raise BadInput(" ".join(choice.query.problems))
    check_texts(request.app.state.settings, choice.query.text)
    return choice


def _recompute(request: Request, query: PageQuery, source: str, index: int) -> str:
    """The command that recomputes what was found of a feature."""
    return recipes.command(str(request.base_url), query.model, source, index, query.text)


def _again(request: Request) -> str:
    return f"{request.url.path}?{request.url.query}"


@router.get("/search/results", response_class=HTMLResponse)
async def search_results(
    request: Request, database: DatabaseDep, viewer: ViewerDep, inference: InferenceDep
) -> HTMLResponse:
    settings: Settings = request.app.state.settings
    choice = await _checked(request, database, viewer, False)
    query = choice.query
    wanted = service.Query(
        [source for source in choice.sources if source.name in query.sources],
        list(query.sort_indexes),
        query.ignore_bos,
        settings.search_dense_share if query.hide_dense else None,
        settings.search_results,
    )
    try:
        found = await service.search(database, viewer, inference, wanted, query.text)
    except TEMPORARY as fault:
        return waiting(request, fault, _again(request))
    return render(
        request,
        "activation_search/_features.html",
        query=query,
        chips=view.chips(found, query, FEATURES),
        hits=view.hits(found, wanted),
        recipes=recipes.together(found.recipes),
        recompute=_recompute(request, query, found.hits[0].source, found.hits[0].index) if found.hits else None,
        unsorted_href=f"{FEATURES}?{replace(query, sort_indexes=()).params()}",
    )


@router.get("/search-topk-by-token/results", response_class=HTMLResponse)
async def token_search_results(
    request: Request, database: DatabaseDep, viewer: ViewerDep, inference: InferenceDep
) -> HTMLResponse:
    settings: Settings = request.app.state.settings
    choice = await _checked(request, database, viewer, True)
    query = choice.query
    source = next(source for source in choice.sources if source.name == query.sources[0])
    density = settings.search_dense_share if query.hide_dense else None
    try:
        found = await service.by_token(
            database, viewer, inference, source, query.text, PER_TOKEN, query.ignore_bos, density
        )
    except TEMPORARY as fault:
        return waiting(request, fault, _again(request))
    features = [one for row in found.rows if not (row.ignored and query.ignore_bos) for one in row.features]
    strongest = max(features, key=lambda one: one.value, default=None)
    return render(
        request,
        "activation_search/_tokens.html",
        source=source.name,
        per_token=PER_TOKEN,
        rows=view.tokens(found.rows, source.path, query.ignore_bos),
        recipes=recipes.together({source.name: found.recipe}),
        recompute=_recompute(request, query, source.name, strongest.index) if strongest else None,
    )
