"""Stored keys for providers: stored where the account agrees, listed without the key, used for their profile, deleted.

A stored key is sent, by the autointerp server, to the base URL only that its profile had when it was stored.
"""

from collections.abc import Sequence

from memicos_autointerp_core.providers.faults import SECRET_KEY_CHARACTERS
from memicos_autointerp_core.providers.profile import check_key
from pydantic import SecretStr

from memicos_webapp.accounts.server_secret import server_secret
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.database.engine import Database
from memicos_webapp.errors import BadInput, Conflict, NotFound, UpstreamFault
from memicos_webapp.explanations.autointerp_client import AutointerpClient, AutointerpProfile
from memicos_webapp.provider_keys import repository
from memicos_webapp.provider_keys.encryption import decrypt, encrypt
from memicos_webapp.provider_keys.rows import ListedKey, Place, StoredKeyRow, UsableKey
from memicos_webapp.settings import Settings

PAGE = "/account/provider-keys"
KEY_CHARACTERS = 500
"""Longest key."""
SHOWN_CHARACTERS = 4
"""Last characters of a key that its account is shown; of one with fewer than SECRET_KEY_CHARACTERS none."""


async def store(
    database: Database,
    settings: Settings,
    autointerp: AutointerpClient,
    account_id: int,
    profile: str,
    key: SecretStr,
    agreed: bool,
) -> None:
    """Store a key of an account for a profile, in place of an earlier one.

    Raises:
        BadInput: the account did not agree to store it, there is no such profile, or it cannot be a key.
        NotConfigured: the server's secret cannot be read.
        UpstreamFault, Unavailable: the autointerp server does not answer.
    """
    if not agreed:
        raise BadInput("The key was not stored: tick “Store this key” to agree that it is stored, encrypted.")
    text = key.get_secret_value().strip()
    if not text or len(text) > KEY_CHARACTERS:
        raise BadInput(f"A key has 1 to {KEY_CHARACTERS} characters.")
    try:
        check_key(SecretStr(text))
    except ValueError as error:
        raise BadInput(f"The key was not stored: {error}.") from None
    server = await autointerp.capabilities()
    found = server.profile(profile)
    if found is None:
        names = ", ".join(known.name for known in server.profiles)
        raise BadInput(f"The autointerp server has no profile {profile!r}, only {names}.")
    place = Place(account_id, found.name, _base_url(found))
    encrypted = encrypt(server_secret(settings), place, text)
    async with database.transaction() as session:
        await repository.put(session, place, encrypted)


async def listed(database: Database, settings: Settings, account_id: int) -> Sequence[ListedKey]:
    """The stored keys of an account.

    Raises:
        NotConfigured: there are keys, and the server's secret cannot be read.
    """
    async with database.snapshot() as session:
        rows = await repository.keys(session, account_id)
    return [
        ListedKey(row.id, row.profile, row.base_url, _last_characters(_decrypted(settings, row)), row.created_at)
        for row in rows
    ]


async def delete(database: Database, account_id: int, key_id: int) -> None:
    """Delete a stored key of the account.

    Raises:
        NotFound: the account has no such key.
    """
    async with database.transaction() as session:
        if not await repository.remove(session, account_id, key_id):
            raise NotFound(f"You have no stored key {key_id} for a provider.")


async def profiles_with_key(database: Database, viewer: Viewer) -> frozenset[str]:
    """Profiles for which the viewer's account stored a key."""
    if viewer.account_id is None:
        return frozenset()
    async with database.snapshot() as session:
        return await repository.profiles(session, viewer.account_id)


async def find(database: Database, settings: Settings, viewer: Viewer, profile: AutointerpProfile) -> UsableKey | None:
    """The key that the viewer's account stored for a profile; None where it stored none.

    Raises:
        Conflict: the profile has another base URL than when it was stored, or the server's secret is another one.
        NotConfigured: the server's secret cannot be read.
    """
    if viewer.account_id is None:
        return None
    async with database.snapshot() as session:
        row = await repository.key(session, viewer.account_id, profile.name)
    if row is None:
        return None
    if row.base_url != _base_url(profile):
        raise Conflict(
            f"Your stored key for {profile.name} is for {row.base_url}, but the profile has {profile.base_url} now: "
            f"delete the key at {PAGE}, and store it again if it is for that endpoint."
        )
    key = _decrypted(settings, row)
    if key is None:
        raise Conflict(
            f"Your stored key for {profile.name} cannot be decrypted: the server's secret (MEMICOS_SECRET_KEY, or the "
            "file secret-key in MEMICOS_DATA) is not the one that it was stored with. Set the former secret again, or "
            f"delete the key at {PAGE} and store it again."
        )
    return UsableKey(SecretStr(key), row.profile, row.base_url)


def _decrypted(settings: Settings, row: StoredKeyRow) -> str | None:
    return decrypt(server_secret(settings), row.place, row.encrypted)


def _last_characters(key: str | None) -> str | None:
    if key is None:
        return None
    return key[-SHOWN_CHARACTERS:] if len(key) >= SECRET_KEY_CHARACTERS else ""


def _base_url(profile: AutointerpProfile) -> str:
    if profile.base_url is None:
        raise UpstreamFault(
            "The autointerp server does not say where keys are sent: set AUTOINTERP_SECRET of the webapp to the "
            "server's, and run the same version of both."
        )
    return profile.base_url
