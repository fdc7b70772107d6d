"""Pages of models, releases, source sets and sources, and the jump box."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from memicos_webapp import recipes
from memicos_webapp.catalog import repository, service
from memicos_webapp.database.engine import Snapshot
from memicos_webapp.errors import BadInput, NotFound
from memicos_webapp.features import repository as features
from memicos_webapp.features.schemas import FeatureFilter
from memicos_webapp.features.service import table
from memicos_webapp.templating import render

router = APIRouter(tags=["catalog"])

SAMPLE = 6
"""Features that the home page shows to begin with."""
SAMPLE_DENSITY = 0.01
"""They fire on less than this share of tokens."""


@router.get("/", response_class=HTMLResponse)
async def home_page(request: Request, session: Snapshot) -> HTMLResponse:
    home = await service.home(session)
    sample = await features.sample(session, SAMPLE, SAMPLE_DENSITY)
    return render(request, "catalog/home.html", home=home, sample=sample)


@router.get("/jump")
async def jump(request: Request, session: Snapshot, to: str = "") -> RedirectResponse:
    limit = request.app.state.settings.words_characters
    if len(to) > 4 * limit:
        raise BadInput(f"That is too long to jump to: {len(to)} characters, at most {4 * limit}.")
    return RedirectResponse(await service.jump(session, to, request.headers.get("referer", "")), status_code=303)


@router.get("/{name}", response_class=HTMLResponse)
async def model_or_release_page(request: Request, session: Snapshot, name: str) -> HTMLResponse:
    model = await repository.model(session, name)
    if model:
        page = await service.model_page(session, model)
        return render(request, "catalog/model.html", page=page)
    release = await repository.release(session, name)
    if release is None:
        known = [model.id for model in await repository.models(session)]
        known += [release.id for release in await repository.releases(session)]
        if not known:
            raise await service.unknown_model(session, name)
        raise NotFound(f"There is no model or release {name!r} here; there is {service.listed(known)}.")
    sets = await repository.sets(session, release_id=release.id)
    return render(request, "catalog/release.html", release=release, sets=sets)


@router.get("/{model}/{name}", response_class=HTMLResponse)
async def source_or_set_page(
    request: Request, session: Snapshot, model: str, name: str, wanted: Annotated[FeatureFilter, Query()]
) -> HTMLResponse:
    source = await repository.source(session, model, name)
    if source is None:
        sources = await repository.sources_of_set(session, model, name)
        if not sources:
            raise await service.unknown_source(session, model, name)
        sets = await repository.sets(session, model_id=model)
        of_set = next(one for one in sets if one.name == name)
        return render(
            request,
            "catalog/set.html",
            of_set=of_set,
            sources=sources,
            recipe=recipes.words(recipes.of_dataset(sources[0])),
        )
    settings = request.app.state.settings
    if len(wanted.words) > settings.words_characters:
        limit = settings.words_characters
        raise BadInput(f"The words to filter by have {len(wanted.words)} characters, at most {limit}.")
    page = await table(session, source, wanted, settings.features_per_page)
    fragment = request.headers.get("hx-request") == "true" and request.headers.get("hx-target") == "features"
    template = "catalog/features_table.html" if fragment else "catalog/source.html"
    return render(request, template, source=source, page=page, recipe=recipes.words(recipes.of_dataset(source)))
