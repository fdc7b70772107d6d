"""The identity of a request: its account, how the request was authenticated, and what it may do."""

from dataclasses import dataclass
from typing import Literal

from fastapi import Request
from memicos_service.server import is_loopback

from memicos_webapp.accounts.rows import Scope
from memicos_webapp.catalog.visibility import NOBODY, Viewer
from memicos_webapp.security.proxy_headers import is_forwarded
from memicos_webapp.settings import Settings

OWNER_ID = 1
"""Id of the account that the first migration makes."""

LOCAL_OWNER = Viewer(OWNER_ID, frozenset({"admin"}))
"""The viewer of requests to a server that is bound to loopback: its owner."""

KEY_HEADER = "X-Api-Key"

READ_ONLY = "This server is read-only (MEMICOS_READ_ONLY): it changes no stored data."
SIGN_IN = (
    "Writes are refused without the owner's session or an API key. Run `memicos owner-link` where the server runs and "
    f"open the link that it prints, or send a key of `memicos key new NAME --scope write` as {KEY_HEADER}."
)
OWNER_ONLY = (
    "Only the owner may do this. Run `memicos owner-link` where the server runs and open the link that it "
    f"prints, or send a key of `memicos key new NAME --scope admin` as {KEY_HEADER}."
)
DATASETS_SCOPE = (
    "Uploading datasets takes the owner's session or an API key with the scope datasets:write. Make one where the "
    f"server runs and send it as {KEY_HEADER}: `memicos key new NAME --scope datasets:write`."
)
READ_SCOPE_ONLY = "This API key lacks the scope write. Make one that has it: `memicos key new NAME --scope write`."


@dataclass(frozen=True)
class Identity:
    """A viewer, the method of authentication, and the scopes of its credential."""

    viewer: Viewer
    method: Literal["none", "local", "session", "api_key"]
    scopes: frozenset[Scope] = frozenset()
    session_id: int | None = None

    @property
    def has_write_scope(self) -> bool:
        return bool(self.scopes & {"write", "admin"})

    @property
    def may_upload_datasets(self) -> bool:
        return bool(self.scopes & {"datasets:write", "admin"})


ANONYMOUS = Identity(NOBODY, "none")
LOCAL = Identity(LOCAL_OWNER, "local", frozenset({"admin"}))


def identity_by_address(request: Request) -> Identity:
    """The local owner where the server is bound to loopback and the request comes from this machine; else anonymous.

    A request with a forwarding header may come from another machine, through a proxy: it is not the local owner's.
    """
    settings: Settings = request.app.state.settings
    from_loopback = request.client is not None and is_loopback(request.client.host)
    if settings.local_owner_active and from_loopback and not is_forwarded(request.headers):
        return LOCAL
    return ANONYMOUS


def request_identity(request: Request) -> Identity:
    """The identity that `accounts.viewer.current_identity` stored; before routing, as on a 404, that of the address."""
    return getattr(request.state, "identity", None) or identity_by_address(request)


def owner_problem(settings: Settings, identity: Identity, changes: bool) -> str | None:
    """Why a request of this identity may not see, or with `changes` change, settings of the server; None if it may."""
    if changes and settings.read_only:
        return READ_ONLY
    return None if identity.viewer.admin else OWNER_ONLY


def write_problem(settings: Settings, identity: Identity) -> str | None:
    """Why a request of this identity may not write, and what to do; None if it may."""
    if settings.read_only:
        return READ_ONLY
    if identity.has_write_scope:
        return None
    return READ_SCOPE_ONLY if identity.method == "api_key" else SIGN_IN


def dataset_problem(settings: Settings, identity: Identity) -> str | None:
    """Why a request of this identity may not upload datasets, and what to do; None if it may."""
    if settings.read_only:
        return READ_ONLY
    return None if identity.may_upload_datasets else DATASETS_SCOPE
