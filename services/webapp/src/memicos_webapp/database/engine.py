"""Connections and transactions.

Routes take `Snapshot` to read and `Transaction` to write: one transaction per request, which begins at the first
statement and ends before the response is sent. A route that calls another service takes `DatabaseDep`
instead and opens `database.snapshot()` or `database.transaction()` before and after the call: no connection
is held across it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from memicos_webapp.database.connection import create_engine
from memicos_webapp.settings import Settings

ANSWER_MARGIN_SECONDS = 5
"""PostgreSQL ends long statements itself (MEMICOS_STATEMENT_SECONDS); so much later it is taken as gone."""


class Database:
    """The connection pool, and the two kinds of transaction."""

    def __init__(self, url: str, settings: Settings) -> None:
        self.url = url
        self.engine = create_engine(
            url,
            "memicos-webapp",
            {
                "statement_timeout": str(round(1000 * settings.statement_seconds)),
                # compiling a statement takes longer than running it
                "jit": "off",
            },
            settings.statement_seconds + ANSWER_MARGIN_SECONDS,
            pool_size=settings.database_pool,
            max_overflow=0,
            pool_timeout=settings.database_wait_seconds,
            pool_pre_ping=False,
            # parameters contain visitors' queries, which must not be logged with a failed statement
            hide_parameters=True,
        )
        read_engine = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        # on a read-only server a write fails even if a route does not refuse it and the role may write
        write_engine = self.engine.execution_options(postgresql_readonly=True) if settings.read_only else self.engine
        self._write = async_sessionmaker(write_engine, expire_on_commit=False)
        self._read = async_sessionmaker(read_engine, expire_on_commit=False)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncSession]:
        """A read-only transaction. All statements see the same state, also while an import replaces a load."""
        async with self._read() as session, session.begin():
            yield session

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A transaction: committed at the end, rolled back on an exception."""
        async with self._write() as session, session.begin():
            yield session

    async def ping(self) -> None:
        """Run a statement; raises the driver's error where the database does not respond."""
        async with self.snapshot() as session:
            await session.execute(text("SELECT 1"))

    async def close(self) -> None:
        await self.engine.dispose()


async def database(request: Request) -> Database:
    return request.app.state.database


DatabaseDep = Annotated[Database, Depends(database)]


async def _snapshot(database: DatabaseDep) -> AsyncIterator[AsyncSession]:
    async with database.snapshot() as session:
        yield session


async def _transaction(database: DatabaseDep) -> AsyncIterator[AsyncSession]:
    async with database.transaction() as session:
        yield session


# scope="function": ends when the route returns, before the response is sent
Snapshot = Annotated[AsyncSession, Depends(_snapshot, scope="function")]
Transaction = Annotated[AsyncSession, Depends(_transaction, scope="function")]
