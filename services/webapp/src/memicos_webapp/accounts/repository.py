"""SQL of accounts, links, sessions and API keys."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, exists, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.accounts.models import Account, AccountSession, ApiKey, LoginLink
from memicos_webapp.accounts.rows import ApiKeyRow, Credential, SessionRow
from memicos_webapp.database.mapping import from_row

Token = type[AccountSession] | type[ApiKey]


def _valid(table: Token) -> tuple[Any, ...]:
    return table.revoked_at.is_(None), or_(table.expires_at.is_(None), table.expires_at > func.now())


async def find_session(session: AsyncSession, digest: bytes) -> Credential | None:
    """The session with this hash of a token, unless it has expired or is revoked."""
    statement = select(AccountSession.id, AccountSession.account_id, AccountSession.last_used_at).where(
        AccountSession.token_sha256 == digest, *_valid(AccountSession)
    )
    row = (await session.execute(statement)).mappings().one_or_none()
    return None if row is None else from_row(Credential, {**row, "scopes": frozenset({"admin"})})


async def find_api_key(session: AsyncSession, digest: bytes) -> Credential | None:
    """The API key with this keyed hash, unless it has expired or is revoked."""
    statement = select(ApiKey.id, ApiKey.account_id, ApiKey.last_used_at, ApiKey.scopes).where(
        ApiKey.token_hash == digest, ApiKey.keyed, *_valid(ApiKey)
    )
    row = (await session.execute(statement)).mappings().one_or_none()
    return None if row is None else from_row(Credential, {**row, "scopes": frozenset(row["scopes"])})


async def set_last_used(session: AsyncSession, table: Token, token_id: int) -> None:
    await session.execute(update(table).where(table.id == token_id).values(last_used_at=func.now()))


async def account_name(session: AsyncSession, account_id: int) -> str | None:
    return await session.scalar(select(Account.name).where(Account.id == account_id))


async def has_signed_in(session: AsyncSession, account_id: int) -> bool:
    """Whether the account has or had a session."""
    return bool(await session.scalar(select(exists().where(AccountSession.account_id == account_id))))


async def add_link(session: AsyncSession, account_id: int, digest: bytes, valid: timedelta) -> None:
    """Add a link, and delete those that have expired."""
    await session.execute(delete(LoginLink).where(LoginLink.expires_at < func.now()))
    await session.execute(
        insert(LoginLink).values(account_id=account_id, token_sha256=digest, expires_at=func.now() + valid)
    )


async def use_link(session: AsyncSession, digest: bytes) -> int | None:
    """Mark a link as used and return its account; None where it is unknown, expired or used."""
    statement = (
        update(LoginLink)
        .where(LoginLink.token_sha256 == digest, LoginLink.used_at.is_(None), LoginLink.expires_at > func.now())
        .values(used_at=func.now())
        .returning(LoginLink.account_id)
    )
    return await session.scalar(statement)


async def add_session(
    session: AsyncSession, account_id: int, digest: bytes, user_agent: str, valid: timedelta, keep: timedelta
) -> None:
    """Add a session, and delete those that expired longer than `keep` ago."""
    await session.execute(delete(AccountSession).where(AccountSession.expires_at < func.now() - keep))
    await session.execute(
        insert(AccountSession).values(
            account_id=account_id, token_sha256=digest, user_agent=user_agent, expires_at=func.now() + valid
        )
    )


async def sessions(session: AsyncSession, account_id: int) -> Sequence[SessionRow]:
    """Sessions that are valid, the last used one first."""
    statement = (
        select(
            AccountSession.id,
            AccountSession.user_agent,
            AccountSession.created_at,
            AccountSession.expires_at,
            AccountSession.last_used_at,
        )
        .where(AccountSession.account_id == account_id, *_valid(AccountSession))
        .order_by(func.coalesce(AccountSession.last_used_at, AccountSession.created_at).desc())
    )
    return [from_row(SessionRow, row) for row in (await session.execute(statement)).mappings()]


async def add_api_key(
    session: AsyncSession, account_id: int, name: str, digest: bytes, scopes: Sequence[str], valid: timedelta | None
) -> int:
    """Add an API key and return its id. `valid` None: it does not expire."""
    statement = insert(ApiKey).values(
        account_id=account_id,
        name=name,
        token_hash=digest,
        keyed=True,
        scopes=list(scopes),
        expires_at=None if valid is None else func.now() + valid,
    )
    return (await session.execute(statement.returning(ApiKey.id))).scalar_one()


async def api_keys(session: AsyncSession, account_id: int) -> Sequence[ApiKeyRow]:
    """All API keys of an account, also those that have expired or are revoked, by id."""
    statement = (
        select(
            ApiKey.id,
            ApiKey.name,
            ApiKey.scopes,
            ApiKey.created_at,
            ApiKey.expires_at,
            ApiKey.last_used_at,
            ApiKey.revoked_at,
            (ApiKey.expires_at <= func.now()).is_(True).label("expired"),
        )
        .where(ApiKey.account_id == account_id)
        .order_by(ApiKey.id)
    )
    return [from_row(ApiKeyRow, row) for row in (await session.execute(statement)).mappings()]


async def revoke(session: AsyncSession, table: Token, account_id: int, token_id: int) -> bool:
    """Revoke a session or an API key of the account; False where it has none of this id that is not revoked."""
    statement = (
        update(table)
        .where(table.id == token_id, table.account_id == account_id, table.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(table.id)
    )
    return await session.scalar(statement) is not None


async def plain_hashes(session: AsyncSession) -> Sequence[tuple[int, bytes]]:
    """Id and SHA-256 of API keys that an earlier version stored; other transactions wait for this one to convert."""
    statement = select(ApiKey.id, ApiKey.token_hash).where(~ApiKey.keyed).with_for_update()
    return [(key_id, digest) for key_id, digest in await session.execute(statement)]


async def set_keyed_hash(session: AsyncSession, key_id: int, digest: bytes) -> None:
    await session.execute(update(ApiKey).where(ApiKey.id == key_id).values(token_hash=digest, keyed=True))
