"""The API's documentation, generated from the application's OpenAPI document."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from memicos_webapp.accounts.viewer import ViewerDep
from memicos_webapp.api_doc import service
from memicos_webapp.database.engine import Snapshot
from memicos_webapp.templating import render

router = APIRouter(tags=["api-doc"])


@router.get("/api-doc", response_class=HTMLResponse)
async def api_doc_page(request: Request, session: Snapshot, viewer: ViewerDep) -> HTMLResponse:
    names = await service.example_names(session, viewer)
    documentation = service.DocumentReader(request.app.openapi(), str(request.base_url), names).documentation()
    return render(request, "api_doc/page.html", tags=documentation.tags, shapes=documentation.shapes, section="api")
