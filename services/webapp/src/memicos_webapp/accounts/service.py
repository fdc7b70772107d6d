"""One-time links, sessions and API keys: made, used, listed and revoked."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from memicos_webapp.accounts import repository
from memicos_webapp.accounts.identity import Identity
from memicos_webapp.accounts.models import AccountSession, ApiKey
from memicos_webapp.accounts.rows import ApiKeyRow, Scope, SessionRow
from memicos_webapp.accounts.server_secret import server_secret
from memicos_webapp.accounts.tokens import KEY_PREFIX, keyed_hash, new_token, token_hash
from memicos_webapp.database.engine import Database
from memicos_webapp.errors import BadInput, NotFound, Refused
from memicos_webapp.settings import Settings

SIGN_IN_PATH = "/account/sign-in"
USER_AGENT_CHARACTERS = 200
EXPIRED_SESSION_RETENTION = timedelta(days=30)
KEY_NAME_CHARACTERS = 100
KEY_DAYS = 3650
"""Longest time until an API key expires, in days."""


@dataclass(frozen=True)
class NewSession:
    """The token for the cookie, and how long it is valid."""

    token: str
    seconds: int


@dataclass(frozen=True)
class AccountDetail:
    """What an account's page shows."""

    name: str
    sessions: Sequence[SessionRow]
    api_keys: Sequence[ApiKeyRow]


def session_account(identity: Identity) -> int:
    """The account whose sessions and keys a request may read and change.

    Raises:
        Refused: the request has no session.
    """
    account_id = identity.viewer.account_id
    if account_id is None or identity.method not in ("session", "local"):
        raise Refused(
            "Sessions and keys are for the signed-in owner, on the page /account; API keys also for `memicos key`."
        )
    return account_id


async def create_link(database: Database, settings: Settings, account_id: int) -> str:
    """Make a one-time link. The token is in the fragment, which browsers send to no server and no log records."""
    token = new_token()
    async with database.transaction() as session:
        await repository.add_link(
            session, account_id, token_hash(token), timedelta(seconds=settings.owner_link_seconds)
        )
    return f"{settings.public_address}{SIGN_IN_PATH}#{token}"


async def sign_in(database: Database, settings: Settings, token: str, user_agent: str) -> NewSession:
    """Use a one-time link: begin a session.

    Raises:
        Refused: the link is unknown, expired or used.
    """
    # a link that was pasted as a whole
    token = token.strip().rpartition("#")[2]
    new_session = NewSession(new_token(), round(settings.session_days * 86400))
    async with database.transaction() as session:
        account_id = await repository.use_link(session, token_hash(token))
        if account_id is None:
            raise Refused(
                "This sign-in link is unknown, expired or used. Make a new one on the server with `memicos owner-link`."
            )
        await repository.add_session(
            session,
            account_id,
            token_hash(new_session.token),
            user_agent[:USER_AGENT_CHARACTERS].replace("\0", ""),
            timedelta(seconds=new_session.seconds),
            EXPIRED_SESSION_RETENTION,
        )
    return new_session


async def account_detail(database: Database, account_id: int) -> AccountDetail:
    async with database.snapshot() as session:
        name = await repository.account_name(session, account_id)
        return AccountDetail(
            name or "",
            await repository.sessions(session, account_id),
            [key for key in await repository.api_keys(session, account_id) if key.state != "revoked"],
        )


async def revoke_session(database: Database, account_id: int, session_id: int) -> None:
    """End a session of the account.

    Raises:
        NotFound: the account has no such session.
    """
    async with database.transaction() as session:
        if not await repository.revoke(session, AccountSession, account_id, session_id):
            raise NotFound(f"There is no session {session_id} here.")


async def end_session(database: Database, account_id: int, session_id: int) -> None:
    """End a session of the account; one that another request has just ended stays so."""
    async with database.transaction() as session:
        await repository.revoke(session, AccountSession, account_id, session_id)


def parse_key_days(text: str) -> float | None:
    """Days until an API key expires, as a form sends them; None for an empty text: it does not expire.

    Raises:
        BadInput: it is no number from 1 to `KEY_DAYS`.
    """
    text = text.strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= KEY_DAYS):
        raise BadInput(f"An API key expires after 1 to {KEY_DAYS} days, not {text!r}; leave it empty for never.")
    return int(text)


async def create_api_key(
    database: Database, settings: Settings, account_id: int, name: str, scopes: Sequence[Scope], days: float | None
) -> tuple[int, str]:
    """Make an API key; returns its id and the key, which is stored nowhere.

    Raises:
        BadInput: the name is empty or too long.
        NotConfigured: the server's secret cannot be read.
    """
    name = name.strip()
    if not name or len(name) > KEY_NAME_CHARACTERS or not name.isprintable():
        raise BadInput(f"The name of an API key has 1 to {KEY_NAME_CHARACTERS} printable characters.")
    key = new_token(KEY_PREFIX)
    digest = keyed_hash(server_secret(settings), token_hash(key))
    valid = None if days is None else timedelta(days=days)
    async with database.transaction() as session:
        key_id = await repository.add_api_key(session, account_id, name, digest, sorted(set(scopes)), valid)
    return key_id, key


async def list_api_keys(database: Database, account_id: int) -> Sequence[ApiKeyRow]:
    async with database.snapshot() as session:
        return await repository.api_keys(session, account_id)


async def revoke_api_key(database: Database, account_id: int, key_id: int) -> None:
    """Make an API key invalid, permanently.

    Raises:
        NotFound: the account has no such key that is not revoked.
    """
    async with database.transaction() as session:
        if not await repository.revoke(session, ApiKey, account_id, key_id):
            raise NotFound(f"The API key {key_id} does not exist or is already revoked.")
