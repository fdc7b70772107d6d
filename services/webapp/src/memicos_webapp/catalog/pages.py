"""Pages of models, releases, source sets and sources, and the jump box."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from memicos_webapp import recipes
from memicos_webapp.accounts.viewer import ViewerDep
from memicos_webapp.catalog import repository, service
from memicos_webapp.catalog.jump import find_targets
from memicos_webapp.database.engine import Snapshot
from memicos_webapp.errors import BadInput, NotFound
from memicos_webapp.features import repository as features
from memicos_webapp.features.schemas import FeatureFilter
from memicos_webapp.features.service import table
from memicos_webapp.templating import render
from memicos_webapp.validation import FORM_CHOICES, FORM_NAMES

router = APIRouter(tags=["catalog"])

JUMP_FACTOR = 4
"""Limit of the jump box, in multiples of the limit of a filter: addresses are longer."""
SAMPLE = 6
"""Example features on the home page."""
SAMPLE_DENSITY = 0.01
"""Largest activation density of example features, as a share of tokens."""


@router.get("/", response_class=HTMLResponse)
async def home_page(request: Request, session: Snapshot, viewer: ViewerDep) -> HTMLResponse:
    home = await service.home(session, viewer)
    sample = await features.sample(session, viewer, SAMPLE, SAMPLE_DENSITY)
    return render(request, "catalog/home.html", home=home, sample=sample)


@router.get("/jump", response_model=None)
async def jump_page(
    request: Request, session: Snapshot, viewer: ViewerDep, to: str = ""
) -> HTMLResponse | RedirectResponse:
    limit = JUMP_FACTOR * request.app.state.settings.words_characters
    text = to.strip()
    if len(text) > limit:
        raise BadInput(f"The text in the jump box has {len(text)} characters; at most {limit} are allowed.")
    if not text:
        return RedirectResponse("/", status_code=303)
    targets = await find_targets(session, viewer, text, request.headers.get("referer", ""))
    if len(targets) > 1:
        return render(request, "catalog/jump.html", text=text, targets=targets)
    path = targets[0].path if targets else "/search-explanations?" + urlencode({"q": text})
    return RedirectResponse(path, status_code=303)


@router.get("/{name}", response_class=HTMLResponse)
async def model_or_release_page(request: Request, session: Snapshot, viewer: ViewerDep, name: str) -> HTMLResponse:
    model = await repository.model(session, viewer, name)
    if model:
        page = await service.model_page(session, viewer, model)
        return render(request, "catalog/model.html", page=page)
    release = await repository.release(session, viewer, name)
    if release is None:
        names = [model.id for model in await repository.models(session, viewer)]
        names += [release.id for release in await repository.releases(session, viewer)]
        if not names:
            raise await service.unknown_model(session, viewer, name)
        raise NotFound(f"There is no model or release {name!r}; available: {service.join_names(names)}.")
    sets = await repository.sets(session, viewer, release_id=release.id)
    return render(request, "catalog/release.html", release=release, sets=sets)


@router.get("/{model}/{name}", response_class=HTMLResponse)
async def source_or_set_page(
    request: Request,
    session: Snapshot,
    viewer: ViewerDep,
    model: str,
    name: str,
    filters: Annotated[FeatureFilter, Query()],
) -> HTMLResponse:
    source = await repository.source(session, viewer, model, name)
    if source is None:
        source_set = await repository.source_set(session, viewer, model, name)
        if source_set is None:
            raise await service.unknown_source(session, viewer, model, name)
        sources = await repository.sources_of_set(session, viewer, model, name)
        return render(
            request,
            "catalog/set.html",
            source_set=source_set,
            sources=sources,
            recipe=recipes.describe(recipes.dataset_recipe(sources[0])),
        )
    settings = request.app.state.settings
    if len(filters.words) > settings.words_characters:
        limit = settings.words_characters
        raise BadInput(f"“Explanation” has {len(filters.words)} characters; at most {limit} are allowed.")
    page = await table(session, source, filters, settings.features_per_page)
    fragment = request.headers.get("hx-request") == "true" and request.headers.get("hx-target") == "features"
    template = "catalog/features_table.html" if fragment else "catalog/source.html"
    return render(
        request,
        template,
        source=source,
        page=page,
        choices=[(name, FORM_NAMES[name].strip("“”"), options) for name, options in FORM_CHOICES.items()],
        recipe=recipes.describe(recipes.dataset_recipe(source)),
    )
