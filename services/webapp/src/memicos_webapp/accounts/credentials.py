"""Checks of the credentials in a request: a session cookie or an API key."""

from datetime import UTC, datetime

from memicos_webapp.accounts import repository
from memicos_webapp.accounts.identity import OWNER_ID
from memicos_webapp.accounts.models import AccountSession, ApiKey
from memicos_webapp.accounts.rows import Credential
from memicos_webapp.accounts.server_secret import server_secret
from memicos_webapp.accounts.tokens import KEY_PREFIX, keyed_hash, token_hash
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.database.engine import Database
from memicos_webapp.errors import Unauthenticated
from memicos_webapp.settings import Settings

LAST_USED_SECONDS = 60
"""The time of last use is written at most this often."""


def is_api_key(value: str) -> bool:
    """Whether a value of X-Api-Key has the form of a key of memicos; published clients send keys of other systems."""
    return value.startswith(KEY_PREFIX)


def viewer(credential: Credential) -> Viewer:
    """The viewer of a session or API key. The owner of the server reads all, by a key only with the scope `admin`."""
    reads_all = credential.account_id == OWNER_ID and "admin" in credential.scopes
    return Viewer(credential.account_id, frozenset({"admin"}) if reads_all else frozenset())


async def find_session(database: Database, token: str) -> Credential | None:
    """The session of a cookie; None where it has expired, is revoked or unknown: the browser is signed out."""
    async with database.snapshot() as session:
        credential = await repository.find_session(session, token_hash(token))
    if credential is not None:
        await _note_use(database, AccountSession, credential)
    return credential


async def find_api_key(database: Database, settings: Settings, key: str) -> Credential:
    """The API key.

    Raises:
        Unauthenticated: it has expired, is revoked or unknown.
    """
    async with database.snapshot() as session:
        credential = await repository.find_api_key(session, keyed_hash(server_secret(settings), token_hash(key)))
    if credential is None:
        raise Unauthenticated(
            "The API key in X-Api-Key is unknown, expired or revoked. `memicos key list` lists the keys, "
            "`memicos key new` makes one."
        )
    await _note_use(database, ApiKey, credential)
    return credential


async def _note_use(database: Database, table: repository.Token, credential: Credential) -> None:
    last = credential.last_used_at
    if last is None or (datetime.now(UTC) - last).total_seconds() > LAST_USED_SECONDS:
        async with database.transaction() as session:
            await repository.set_last_used(session, table, credential.id)
