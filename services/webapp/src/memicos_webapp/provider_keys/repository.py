"""SQL of stored keys. Each statement is of one account's."""

from collections.abc import Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.database.mapping import from_row
from memicos_webapp.provider_keys.models import ProviderKey
from memicos_webapp.provider_keys.rows import Place, StoredKeyRow

_COLUMNS = (
    ProviderKey.id,
    ProviderKey.account_id,
    ProviderKey.profile,
    ProviderKey.base_url,
    ProviderKey.encrypted,
    ProviderKey.created_at,
)


async def put(session: AsyncSession, place: Place, encrypted: bytes) -> None:
    """Store a key, in place of an earlier one of the account for the profile."""
    statement = insert(ProviderKey).values(
        account_id=place.account_id, profile=place.profile, base_url=place.base_url, encrypted=encrypted
    )
    changed = {"base_url": place.base_url, "encrypted": encrypted, "created_at": func.now()}
    await session.execute(
        statement.on_conflict_do_update(index_elements=[ProviderKey.account_id, ProviderKey.profile], set_=changed)
    )


async def keys(session: AsyncSession, account_id: int) -> Sequence[StoredKeyRow]:
    """The keys of an account, by profile."""
    statement = select(*_COLUMNS).where(ProviderKey.account_id == account_id).order_by(ProviderKey.profile)
    return [from_row(StoredKeyRow, row) for row in (await session.execute(statement)).mappings()]


async def key(session: AsyncSession, account_id: int, profile: str) -> StoredKeyRow | None:
    statement = select(*_COLUMNS).where(ProviderKey.account_id == account_id, ProviderKey.profile == profile)
    row = (await session.execute(statement)).mappings().one_or_none()
    return None if row is None else from_row(StoredKeyRow, row)


async def profiles(session: AsyncSession, account_id: int) -> frozenset[str]:
    """Profiles for which an account stored a key."""
    return frozenset(await session.scalars(select(ProviderKey.profile).where(ProviderKey.account_id == account_id)))


async def remove(session: AsyncSession, account_id: int, key_id: int) -> bool:
    """Delete a key of the account; False where it has none of this id."""
    statement = delete(ProviderKey).where(ProviderKey.account_id == account_id, ProviderKey.id == key_id)
    return await session.scalar(statement.returning(ProviderKey.id)) is not None
