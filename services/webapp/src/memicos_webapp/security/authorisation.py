"""Authorisation of changes to stored data and to settings of the server."""

from typing import Annotated

from fastapi import Depends, Request

from memicos_webapp.accounts.identity import KEY_HEADER, Identity, dataset_problem, owner_problem, write_problem
from memicos_webapp.accounts.viewer import IdentityDep
from memicos_webapp.errors import Refused, Unauthenticated
from memicos_webapp.security.middleware import SAFE_METHODS
from memicos_webapp.settings import Settings

WRITE_REFUSED = (
    "The request may not write: beyond loopback it needs the owner's session, or an API key with the scope write; "
    "a read-only server refuses all writes"
)
"""Description of status 403 of routes that write, in the OpenAPI document."""
DATASETS_REFUSED = (
    "The request may not upload datasets: beyond loopback it needs the owner's session, or an API key with the scope "
    "datasets:write; a read-only server refuses all writes"
)
"""The same of routes for uploads of datasets."""


def _refuse(
    request: Request, settings: Settings, identity: Identity, problem: str | None, scope: str = "write"
) -> None:
    """
    Raises:
        Refused: there is a problem, or a session's request does not say which page made it.
        Unauthenticated: there is a problem, and X-Api-Key holds no key of memicos.
    """
    if problem is not None:
        if identity.method == "none" and request.headers.get(KEY_HEADER) and not settings.read_only:
            raise Unauthenticated(
                f"{KEY_HEADER} holds no key of this server. Make one with `memicos key new NAME --scope {scope}`."
            )
        raise Refused(problem)
    # every browser names the page's site on a POST; the middleware refuses those of other sites
    from_browser = {"origin", "sec-fetch-site"} & set(request.headers)
    if identity.method == "session" and request.method not in SAFE_METHODS and not from_browser:
        raise Refused(
            "A request with a session's cookie has to send Origin, as browsers do. Programs use an API key instead: "
            f"`memicos key new NAME --scope {scope}`."
        )


async def require_write(request: Request, identity: IdentityDep) -> None:
    """Allow a write to the local owner on loopback, a session of the owner, or an API key with the scope `write`.

    Raises:
        Refused, Unauthenticated: it is none of these, or the server is read-only.
    """
    settings: Settings = request.app.state.settings
    _refuse(request, settings, identity, write_problem(settings, identity))


async def require_owner(request: Request, identity: IdentityDep) -> None:
    """Allow reading and changing settings of the server to its owner: on loopback, by a session or an `admin` key.

    Raises:
        Refused, Unauthenticated: it is not the owner, or a change on a read-only server.
    """
    settings: Settings = request.app.state.settings
    problem = owner_problem(settings, identity, changes=request.method not in SAFE_METHODS)
    _refuse(request, settings, identity, problem)


async def require_datasets_write(request: Request, identity: IdentityDep) -> None:
    """Allow uploads of datasets to the owner, on loopback or by a session, or an API key with `datasets:write`.

    Raises:
        Refused, Unauthenticated: it is none of these, or the server is read-only.
    """
    settings: Settings = request.app.state.settings
    _refuse(request, settings, identity, dataset_problem(settings, identity), scope="datasets:write")


WriteAccess = Annotated[None, Depends(require_write)]
"""Parameter of every route that changes stored data."""

DatasetsAccess = Annotated[None, Depends(require_datasets_write)]
"""Parameter of every route for uploads of datasets."""

OwnerAccess = Annotated[None, Depends(require_owner)]
"""Parameter of every route that reads or changes settings of the server."""
