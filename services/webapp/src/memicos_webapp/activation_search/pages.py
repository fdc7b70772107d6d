"""Pages of search by text: over all sources of a set, and token by token in one source."""

from dataclasses import dataclass, replace

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse
from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp import recipes
from memicos_webapp.accounts.viewer import ViewerDep
from memicos_webapp.activation_search import query as queries
from memicos_webapp.activation_search import service, token_search, view
from memicos_webapp.activation_search.query import NO_SOURCE, PageQuery
from memicos_webapp.activation_search.service import TextSearchQuery
from memicos_webapp.activation_search.token_search import TokenSearchQuery
from memicos_webapp.catalog import repository as catalog
from memicos_webapp.catalog.rows import SetInfo, SourceInfo
from memicos_webapp.catalog.service import join_names
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.database.engine import Database, DatabaseDep
from memicos_webapp.errors import BadInput, NotFound
from memicos_webapp.formatting import url_segment
from memicos_webapp.inference.errors import NotReady
from memicos_webapp.inference.pages import render_waiting
from memicos_webapp.inference.prompt_form import ROLES, PromptForm
from memicos_webapp.inference.service import Inference, InferenceDep
from memicos_webapp.security.middleware import refuse_other_sites
from memicos_webapp.settings import Settings
from memicos_webapp.templating import render

router = APIRouter(tags=["text-search"])

FEATURES, TOKENS = "/search", "/search-topk-by-token"
EXAMPLES = (
    "They met on March 4, 1861, and again on the 5th of April.",
    "The whale sank the ship, and the captain was lost at sea.",
    "def mean(values):\n    return sum(values) / len(values)",
)
FEATURES_PER_TOKEN = 6
"""Features shown at each token."""


@dataclass(frozen=True)
class SearchChoice:
    """A query completed with a set that exists, and the sets and sources that can be chosen."""

    query: PageQuery
    sets: list[SetInfo]
    sources: list[SourceInfo]


async def _sets(session: AsyncSession, viewer: Viewer, query: PageQuery) -> list[SetInfo]:
    """The sets to choose from: the listed ones, and unlisted ones that the address names."""
    sets = await catalog.sets(session, viewer)
    named_sets: list[SetInfo] = []
    if query.model and query.source_set:
        named_set = await catalog.source_set(session, viewer, query.model, query.source_set, query.sources)
        named_sets = [named_set] if named_set else []
    elif query.model:
        named_sets = await catalog.sets(session, viewer, model_id=query.model)
    paths = {source_set.path for source_set in sets}
    return [*sets, *(source_set for source_set in named_sets if source_set.path not in paths)]


async def _complete(database: Database, viewer: Viewer, query: PageQuery, by_token: bool) -> SearchChoice:
    """`query` with the first set where it names none, and all sources of the set (by token: the middle one)."""
    async with database.snapshot() as session:
        sets = await _sets(session, viewer, query)
        matching = [
            source_set
            for source_set in sets
            if query.model in ("", source_set.model_id) and query.source_set in ("", source_set.name)
        ]
        if not matching:
            if sets:
                available = join_names([f"{source_set.model_id}/{source_set.name}" for source_set in sets])
                problem = f"There is no set {query.model}/{query.source_set}; there is {available}."
                return SearchChoice(replace(query, problems=(*query.problems, problem)), sets, [])
            return SearchChoice(query, [], [])
        chosen = matching[0]
        sources = await catalog.sources_of_set(session, viewer, chosen.model_id, chosen.name, query.sources)
    available = [source.name for source in sources]
    names = [name for name in query.sources if name in available]
    if unknown := [name for name in query.sources if name not in available]:
        problem = (
            f"{chosen.model_id}/{chosen.name} has no source {join_names(unknown)}; it has {join_names(available)}."
        )
        query = replace(query, problems=(*query.problems, problem))
    if by_token:
        names = names[:1] or [available[len(available) // 2]]
    elif not names and NO_SOURCE not in query.problems:
        names = available
    return SearchChoice(
        replace(query, model=chosen.model_id, source_set=chosen.name, sources=tuple(names)), sets, sources
    )


async def _page(request: Request, database: Database, viewer: Viewer, inference: Inference, path: str) -> HTMLResponse:
    by_token = path == TOKENS
    choice = await _complete(database, viewer, queries.read(request.query_params), by_token)
    query = choice.query
    status = await inference.status(query.model, list(query.sources))

    def example(text: str) -> str:
        return f"{path}?{replace(query, prompt=PromptForm(text=text), sort_indexes=()).params()}"

    return render(
        request,
        "activation_search/page.html",
        # a form without a ticked source is no wrong address: the page says to choose one
        200 if set(query.problems) <= {NO_SOURCE} else 400,
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
        retry_url=f"/{url_segment(query.model)}/inference",
        roles=ROLES,
        chat_model=any(source.chat for source in choice.sources),
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
    """The sources of the chosen set, for the form."""
    by_token = view == "tokens"
    query = replace(queries.read(request.query_params), sources=(), problems=())
    choice = await _complete(database, viewer, query, by_token)
    return render(
        request, "activation_search/_sources.html", by_token=by_token, query=choice.query, sources=choice.sources
    )


async def _checked(request: Request, database: Database, viewer: Viewer, by_token: bool) -> SearchChoice:
    """The completed query of the request.

    Raises:
        NotFound: nothing has been imported.
        BadInput: the address is wrong, or the text is empty.
    """
    choice = await _complete(database, viewer, queries.read(request.query_params), by_token)
    if not choice.sets:
        raise NotFound("No features have been imported yet, so there is nothing to search. `make demo` imports some.")
    if choice.query.problems:
        raise BadInput(" ".join(choice.query.problems))
    if not choice.sources:
        raise NotFound("No features have been imported yet, so there is nothing to search.")
    choice.query.prompt.prompt()  # raises an error where it is empty
    return choice


def _recompute_command(request: Request, query: PageQuery, source: str, index: int) -> str:
    """The command that recomputes the feature's activations on the text or conversation."""
    return recipes.recompute_command(str(request.base_url), query.model, source, index, query.prompt.prompt())


def _request_address(request: Request) -> str:
    return f"{request.url.path}?{request.url.query}"


@router.get("/search/results", response_class=HTMLResponse, dependencies=[Depends(refuse_other_sites)])
async def search_results(
    request: Request, database: DatabaseDep, viewer: ViewerDep, inference: InferenceDep
) -> HTMLResponse:
    settings: Settings = request.app.state.settings
    choice = await _checked(request, database, viewer, False)
    page = choice.query
    query = TextSearchQuery(
        sources=[source for source in choice.sources if source.name in page.sources],
        positions=list(page.sort_indexes),
        ignore_bos=page.ignore_bos,
        max_density=settings.search_dense_share if page.hide_dense else None,
        limit=settings.search_results,
        rank=page.rank,
    )
    try:
        results = await service.search(database, viewer, inference, query, page.prompt.prompt())
    except NotReady as fault:
        return render_waiting(request, fault, _request_address(request))
    strongest = results.results[0].activation if results.results else None
    return render(
        request,
        "activation_search/_features.html",
        query=page,
        token_links=view.token_links(results, page, FEATURES),
        results=view.result_views(results, query),
        direction=view.direction(results),
        at_first_token=view.count_at_first_token(results, query),
        recipes=recipes.describe_sources(results.recipes),
        recompute=_recompute_command(request, page, strongest.source, strongest.index) if strongest else None,
        unsorted_href=f"{FEATURES}?{replace(page, sort_indexes=()).params()}",
        other_rank_href=f"{FEATURES}?{replace(page, rank='raw' if page.rank == 'share' else 'share').params()}",
    )


@router.get("/search-topk-by-token/results", response_class=HTMLResponse, dependencies=[Depends(refuse_other_sites)])
async def token_search_results(
    request: Request, database: DatabaseDep, viewer: ViewerDep, inference: InferenceDep
) -> HTMLResponse:
    settings: Settings = request.app.state.settings
    choice = await _checked(request, database, viewer, True)
    page = choice.query
    query = TokenSearchQuery(
        source=next(source for source in choice.sources if source.name == page.sources[0]),
        ignore_bos=page.ignore_bos,
        max_density=settings.search_dense_share if page.hide_dense else None,
        limit=FEATURES_PER_TOKEN,
    )
    try:
        results = await token_search.search_by_token(database, viewer, inference, query, page.prompt.prompt())
    except NotReady as fault:
        return render_waiting(request, fault, _request_address(request))
    counted = [token for token in results.tokens if not (token.ignored and page.ignore_bos)]
    strongest = max((item for token in counted for item in token.features), key=lambda item: item.value, default=None)
    name = query.source.name
    return render(
        request,
        "activation_search/_tokens.html",
        source=name,
        per_token=FEATURES_PER_TOKEN,
        rows=view.tokens(results.tokens, query.source.path, page.ignore_bos),
        recipes=recipes.describe_sources({name: results.recipe}),
        recompute=_recompute_command(request, page, name, strongest.index) if strongest else None,
    )
