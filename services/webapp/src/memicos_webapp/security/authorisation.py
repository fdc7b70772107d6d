"""Who may change stored data."""

from typing import Annotated

from fastapi import Depends, Request

from memicos_webapp.errors import Refused
from memicos_webapp.settings import Settings


async def require_local_owner(request: Request) -> None:
    """Allow a write only at a server bound to loopback: until there are accounts, its one user owns all data.

    Raises:
        Refused: the server is bound beyond loopback.
    """
    settings: Settings = request.app.state.settings
    if not settings.loopback:
        raise Refused(
            f"Writes are refused: this server is bound to {settings.host} and has no accounts yet. "
            "Bind it to 127.0.0.1 to change its data."
        )


LocalOwner = Annotated[None, Depends(require_local_owner)]
"""Parameter of every route that changes stored data."""
