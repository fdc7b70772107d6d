"""The API's documentation, written out of the application's own OpenAPI document."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from memicos_webapp.api_doc.service import operations
from memicos_webapp.templating import render

router = APIRouter(tags=["api-doc"])


@router.get("/api-doc", response_class=HTMLResponse)
async def api_doc_page(request: Request) -> HTMLResponse:
    document = request.app.openapi()
    tags = operations(document, str(request.base_url))
    return render(request, "api_doc/page.html", tags=tags, section="api")
