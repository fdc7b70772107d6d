"""Pages of vectors: the account's list, a vector's page, and its deletion."""

from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from markupsafe import Markup
from starlette.convertors import StringConvertor, register_url_convertor

from memicos_webapp.accounts.identity import write_problem
from memicos_webapp.accounts.viewer import IdentityDep, ViewerDep
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.database.engine import Snapshot, Transaction
from memicos_webapp.inference.prompt_form import ROLES, read_form
from memicos_webapp.security.authorisation import WriteAccess
from memicos_webapp.settings import Settings
from memicos_webapp.templating import render
from memicos_webapp.token_shading import markup, pieces
from memicos_webapp.vectors import service
from memicos_webapp.vectors.names import SOURCE_PATTERN
from memicos_webapp.vectors.rows import VectorExampleRow, VectorRow


class _VectorSource(StringConvertor):
    """A path's segment that is in the place of a source and names vectors."""

    regex = SOURCE_PATTERN


register_url_convertor("vector_source", _VectorSource())

router = APIRouter(tags=["vectors"])


@dataclass(frozen=True)
class Example:
    """A text shaded by a vector's values."""

    value: float
    text: Markup


def _example(row: VectorExampleRow, largest: float) -> Example:
    positive = {position: value for position, value in enumerate(row.values) if value > 0}
    return Example(row.max_value, markup(pieces(row.tokens, positive, largest, 0, len(row.tokens))))


def _may_delete(settings: Settings, identity: IdentityDep, viewer: Viewer, row: VectorRow) -> bool:
    return write_problem(settings, identity) is None and service.may_change(viewer, row)


@router.get("/vectors", response_class=HTMLResponse)
async def own_vectors_page(
    request: Request, session: Snapshot, viewer: ViewerDep, identity: IdentityDep
) -> HTMLResponse:
    rows = await service.own(session, viewer)
    may_write = write_problem(request.app.state.settings, identity) is None
    return render(request, "vectors/list.html", rows=rows, may_write=may_write)


@router.get("/{model}/{source:vector_source}/{index}", response_class=HTMLResponse)
async def vector_page(
    request: Request,
    session: Snapshot,
    viewer: ViewerDep,
    identity: IdentityDep,
    model: str,
    source: str,
    index: str,
    defaulttesttext: str = "",
) -> HTMLResponse:
    settings: Settings = request.app.state.settings
    row = await service.get(session, viewer, model, source, service.index_in_path(index))
    examples = await service.examples(session, row, settings)
    largest = max(0.0, examples[0].max_value) if examples else 0.0
    query = request.query_params
    return render(
        request,
        "vectors/vector.html",
        vector=row,
        examples=[_example(item, largest) for item in examples],
        largest=largest,
        roles=ROLES,
        own_prompt=read_form(defaulttesttext, query.get("input", ""), query.getlist("role"), query.getlist("content")),
        may_delete=_may_delete(settings, identity, viewer, row),
    )


@router.post("/{model}/{source:vector_source}/{index}/delete")
async def delete_vector_form(
    _: WriteAccess, session: Transaction, viewer: ViewerDep, model: str, source: str, index: str
) -> RedirectResponse:
    await service.delete(session, viewer, model, source, service.index_in_path(index))
    return RedirectResponse("/vectors", status_code=303)
