"""Who may change stored data."""

from typing import Annotated

from fastapi import Depends, Request

from memicos_webapp.accounts.identity import KEY_HEADER, write_problem
from memicos_webapp.accounts.viewer import IdentityDep
from memicos_webapp.errors import Refused, Unauthenticated
from memicos_webapp.settings import Settings

WRITE_REFUSED = (
    "The request may not write: beyond loopback it needs the owner's session, or an API key with the scope write; "
    "a read-only server takes no writes"
)
"""Description of status 403 of routes that write, in the OpenAPI document."""


async def require_write(request: Request, identity: IdentityDep) -> None:
    """Allow a write to the local owner on loopback, a session of the owner, or an API key with the scope `write`.

    Raises:
        Refused: none of these, the server is read-only, or a session's request does not say which page made it.
        Unauthenticated: X-Api-Key holds no key of memicos.
    """
    settings: Settings = request.app.state.settings
    problem = write_problem(settings, identity)
    if problem is not None:
        if identity.method == "none" and request.headers.get(KEY_HEADER) and not settings.read_only:
            raise Unauthenticated(
                f"{KEY_HEADER} holds no key of this server. Make one with `memicos api-key create NAME --scope write`."
            )
        raise Refused(problem)
    # every browser names the page's site on a POST; the middleware refuses those of other sites
    if identity.method == "session" and not {"origin", "sec-fetch-site"} & set(request.headers):
        raise Refused(
            "A request with a session's cookie has to send Origin, as browsers do. Programs use an API key instead: "
            "`memicos api-key create NAME --scope write`."
        )


WriteAccess = Annotated[None, Depends(require_write)]
"""Parameter of every route that changes stored data."""
