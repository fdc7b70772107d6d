"""The Jinja2 environment, and rendering of pages."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from memicos_webapp import formatting, token_shading
from memicos_webapp.accounts.identity import request_identity, write_problem
from memicos_webapp.scores.methods import METHODS as SCORE_METHODS
from memicos_webapp.security.embedding import is_embedded
from memicos_webapp.security.sub_path import prefix_links

HERE = Path(__file__).parent
STATIC = HERE / "static"


@cache
def static(name: str) -> str:
    """URL of a file in `static/`, with a hash of its content, so that browsers may cache it for a year."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["static"] = static
    environment.globals["SCORE_METHODS"] = SCORE_METHODS
    environment.globals["LEVELS"] = token_shading.LEVELS
    environment.filters["markup"] = token_shading.markup
    environment.filters.update(formatting.FILTERS)
    return environment


environment = _environment()


def render(
    request: Request,
    template: str,
    status_code: int = 200,
    headers: dict[str, str] | None = None,
    **context: Any,
) -> HTMLResponse:
    """Render `template` as the answer to `request`.

    Templates also see `request`, `settings`, `identity`, `embed` (a page in another site's frame: no navigation) and
    `write_problem`, the reason why this request may not write (None if it may).
    """
    identity, settings = request_identity(request), request.app.state.settings
    html = environment.get_template(template).render(
        request=request,
        settings=settings,
        embed=is_embedded(request.scope["path"], request.url.query),
        **{"identity": identity, "write_problem": write_problem(settings, identity), **context},
    )
    return HTMLResponse(prefix_links(html, request.scope.get("app_root_path", "")), status_code, headers)
