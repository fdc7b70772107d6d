"""Pages of the owner: sign in with a one-time link, sign out, sessions and API keys."""

from typing import Annotated

from fastapi import APIRouter, Form, Path, Request, Response
from fastapi.responses import RedirectResponse

from memicos_webapp.accounts import service
from memicos_webapp.accounts.identity import READ_ONLY, Identity
from memicos_webapp.accounts.rows import Scope
from memicos_webapp.accounts.view import SCOPES, browser_name
from memicos_webapp.accounts.viewer import SESSION_COOKIE, IdentityDep
from memicos_webapp.database.engine import Database, DatabaseDep
from memicos_webapp.errors import Refused
from memicos_webapp.security.authorisation import WriteAccess, require_write
from memicos_webapp.settings import Settings
from memicos_webapp.templating import render

router = APIRouter(tags=["account"])

PAGE = "/account"
NO_STORE = {"Cache-Control": "no-store"}
TOKEN_CHARACTERS = 2000
RowId = Annotated[int, Path(ge=1, le=2**31 - 1)]


def _account_page(location: str = PAGE) -> RedirectResponse:
    return RedirectResponse(location, status_code=303, headers=NO_STORE)


async def _render_account(
    request: Request, database: Database, identity: Identity, new_key: str | None = None
) -> Response:
    account_id = identity.viewer.account_id
    detail = await service.account_detail(database, account_id) if account_id is not None else None
    return render(
        request,
        "accounts/account.html",
        headers=NO_STORE,
        detail=detail,
        identity=identity,
        browser_name=browser_name,
        scopes=SCOPES,
        name_characters=service.KEY_NAME_CHARACTERS,
        max_days=service.KEY_DAYS,
        new_key=new_key,
    )


@router.get(PAGE)
async def account_page(request: Request, database: DatabaseDep, identity: IdentityDep) -> Response:
    return await _render_account(request, database, identity)


@router.get("/account/api-keys")
async def redirect_to_account() -> Response:
    """A reload of the page that showed a new key leads to the account's page."""
    return _account_page()


@router.post("/account/api-keys")
async def create_api_key(
    _: WriteAccess,
    request: Request,
    database: DatabaseDep,
    identity: IdentityDep,
    name: Annotated[str, Form(max_length=1000)],
    scope: Annotated[list[Scope], Form()],
    expires_days: Annotated[str, Form(max_length=20)] = "",
) -> Response:
    """Make an API key and show it on the account's page, once. An empty `expires_days`: it does not expire."""
    settings: Settings = request.app.state.settings
    account_id = service.session_account(identity)
    days = service.parse_key_days(expires_days)
    new_key = (await service.create_api_key(database, settings, account_id, name, scope, days))[1]
    return await _render_account(request, database, identity, new_key)


@router.get(service.SIGN_IN_PATH)
async def sign_in_page(request: Request) -> Response:
    """A form that a script fills from the address; only submitting it uses the link, so that a prefetch does not."""
    return render(request, "accounts/sign_in.html", headers=NO_STORE)


@router.post(service.SIGN_IN_PATH)
async def sign_in(
    request: Request,
    database: DatabaseDep,
    identity: IdentityDep,
    token: Annotated[str, Form(max_length=TOKEN_CHARACTERS)],
) -> Response:
    settings: Settings = request.app.state.settings
    if settings.read_only:
        raise Refused(READ_ONLY)
    new_session = await service.sign_in(database, settings, token, request.headers.get("user-agent", ""))
    if identity.session_id is not None and identity.viewer.account_id is not None:
        # this browser's earlier session: its cookie is replaced
        await service.end_session(database, identity.viewer.account_id, identity.session_id)
    response = _account_page()
    response.set_cookie(
        SESSION_COOKIE,
        new_session.token,
        max_age=new_session.seconds,
        path=request.scope.get("root_path") or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )
    return response


@router.post("/account/sign-out")
async def sign_out(request: Request, database: DatabaseDep, identity: IdentityDep) -> Response:
    """End the session. Without a valid one, for example after it expired, only delete the cookie."""
    if identity.session_id is not None:
        await require_write(request, identity)
        await service.revoke_session(database, service.session_account(identity), identity.session_id)
    response = _account_page()
    response.delete_cookie(SESSION_COOKIE, path=request.scope.get("root_path") or "/", httponly=True, samesite="lax")
    return response


@router.post("/account/sessions/{session_id}/revoke")
async def revoke_session(_: WriteAccess, database: DatabaseDep, identity: IdentityDep, session_id: RowId) -> Response:
    await service.revoke_session(database, service.session_account(identity), session_id)
    return _account_page()


@router.post("/account/api-keys/{key_id}/revoke")
async def revoke_api_key(_: WriteAccess, database: DatabaseDep, identity: IdentityDep, key_id: RowId) -> Response:
    await service.revoke_api_key(database, service.session_account(identity), key_id)
    return _account_page()
