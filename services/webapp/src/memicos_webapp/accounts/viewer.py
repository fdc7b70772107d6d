"""The identity of a request: the local owner on loopback; else the account of a session or API key, or anonymous."""

from typing import Annotated

from fastapi import Depends, Request

from memicos_webapp.accounts import credentials
from memicos_webapp.accounts.identity import ANONYMOUS, KEY_HEADER, Identity, identity_by_address
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.settings import Settings

SESSION_COOKIE = "memicos_session"


async def current_identity(request: Request) -> Identity:
    """The identity of a request, from its API key or else its session cookie; kept in `request.state.identity`.

    On loopback, and on a read-only server, both are ignored: clients of other systems send keys that are not of
    memicos.

    Raises:
        Unauthenticated: the API key is one of memicos, but unknown, expired or revoked.
    """
    identity = identity_by_address(request)
    settings: Settings = request.app.state.settings
    if identity is ANONYMOUS and not settings.read_only:
        key = request.headers.get(KEY_HEADER)
        token = request.cookies.get(SESSION_COOKIE)
        if key and credentials.is_api_key(key):
            credential = await credentials.find_api_key(request.app.state.database, settings, key)
            identity = Identity(credentials.viewer(credential), "api_key", credential.scopes)
        elif token and (session := await credentials.find_session(request.app.state.database, token)):
            identity = Identity(credentials.viewer(session), "session", session.scopes, session.id)
    request.state.identity = identity
    return identity


IdentityDep = Annotated[Identity, Depends(current_identity)]


async def current_viewer(identity: IdentityDep) -> Viewer:
    """The viewer of a request; tests override it."""
    return identity.viewer


ViewerDep = Annotated[Viewer, Depends(current_viewer)]
"""Parameter of every route that reads stored data."""
