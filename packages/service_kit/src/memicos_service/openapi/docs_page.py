"""`/docs`: the API in Swagger UI.

Its files come from an installed package: the page loads nothing from other servers.
"""

import html
import json
from importlib.resources import files

from fastapi import FastAPI, HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

PATH = "/docs"
FILES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content security policy of the page. Swagger UI sets inline styles; no inline script runs."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
# relative addresses: the page also works behind a proxy that serves it under a prefix
_START = """SwaggerUIBundle({{
  url: {openapi_url}, dom_id: "#swagger-ui", deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis], validatorUrl: null,
}});
"""


def paths() -> set[str]:
    """Paths of the page and of its files."""
    return {PATH, *(f"{PATH}/{name}" for name in (*FILES, "start.js"))}


def install(app: FastAPI) -> None:
    """Serve `/docs` and its files. Create `app` with docs_url=None, so that FastAPI adds no page of its own."""
    folder = files("fastapi_swagger") / "resources"
    headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}
    page = _PAGE.format(title=html.escape(f"{app.title} API"))
    start = _START.format(openapi_url=json.dumps(str(app.openapi_url).lstrip("/")))

    async def docs(_: Request) -> Response:
        return HTMLResponse(page, headers=headers)

    async def file(request: Request) -> Response:
        name = request.path_params["name"]
        if name == "start.js":
            return Response(start, media_type="text/javascript", headers=headers)
        if name not in FILES:
            raise HTTPException(404)
        return FileResponse(str(folder / name), media_type=FILES[name], headers=headers)

    app.add_route(PATH, docs, include_in_schema=False)
    app.add_route(PATH + "/{name}", file, include_in_schema=False)
