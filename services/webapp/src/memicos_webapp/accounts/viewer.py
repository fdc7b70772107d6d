"""Who sends a request. Until sign-in exists: the local owner on loopback, nobody beyond it."""

from typing import Annotated

from fastapi import Depends, Request

from memicos_webapp.catalog.visibility import NOBODY, Viewer

LOCAL_OWNER_ID = 1
"""Account that the first migration makes."""

LOCAL_OWNER = Viewer(LOCAL_OWNER_ID, frozenset({"admin"}))
"""Whoever reaches a server that is bound to loopback owns it."""


async def current_viewer(request: Request) -> Viewer:
    """The viewer of a request. Asynchronous, so that FastAPI calls it without a thread; tests override it."""
    return LOCAL_OWNER if request.app.state.settings.loopback else NOBODY


ViewerDep = Annotated[Viewer, Depends(current_viewer)]
"""Parameter of every route that reads stored data."""
