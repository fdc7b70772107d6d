"""The page of an account's stored keys for providers of language models."""

from typing import Annotated

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, SecretStr

from memicos_webapp.accounts.service import session_account
from memicos_webapp.accounts.viewer import IdentityDep
from memicos_webapp.database.engine import DatabaseDep
from memicos_webapp.explanations.autointerp_client import AutointerpClient
from memicos_webapp.provider_keys import service
from memicos_webapp.provider_keys.service import PAGE
from memicos_webapp.security.authorisation import WriteAccess
from memicos_webapp.settings import Settings
from memicos_webapp.templating import render

router = APIRouter(tags=["account"])

NO_STORE = {"Cache-Control": "no-store"}
KeyId = Annotated[int, Path(ge=1, le=2**31 - 1)]


class StoreKeyForm(BaseModel):
    """The form "Store a key". `store`: the account agrees that it is stored."""

    model_config = ConfigDict(hide_input_in_errors=True)

    profile: str
    key: SecretStr
    store: bool = False


@router.get(PAGE, response_class=HTMLResponse)
async def provider_keys_page(request: Request, database: DatabaseDep, identity: IdentityDep) -> HTMLResponse:
    settings: Settings = request.app.state.settings
    autointerp: AutointerpClient = request.app.state.autointerp
    keys = await service.listed(database, settings, session_account(identity))
    status = await autointerp.status()
    return render(
        request,
        "provider_keys/list.html",
        headers=NO_STORE,
        keys=keys,
        autointerp=status,
        base_urls={profile.name: profile.base_url for profile in status.profiles},
        may_write=not settings.read_only,
        key_characters=service.KEY_CHARACTERS,
    )


@router.post(PAGE)
async def store_provider_key(
    _: WriteAccess,
    request: Request,
    database: DatabaseDep,
    identity: IdentityDep,
    form: Annotated[StoreKeyForm, Form()],
) -> RedirectResponse:
    state = request.app.state
    account_id = session_account(identity)
    await service.store(
        database, state.settings, state.autointerp, account_id, form.profile.strip(), form.key, form.store
    )
    return RedirectResponse(PAGE, status_code=303, headers=NO_STORE)


@router.post(PAGE + "/{key_id}/delete")
async def delete_provider_key(
    _: WriteAccess, database: DatabaseDep, identity: IdentityDep, key_id: KeyId
) -> RedirectResponse:
    await service.delete(database, session_account(identity), key_id)
    return RedirectResponse(PAGE, status_code=303, headers=NO_STORE)
