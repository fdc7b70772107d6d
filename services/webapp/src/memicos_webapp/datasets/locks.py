"""PostgreSQL's advisory locks of imports. PostgreSQL releases a session's locks when the session ends.

`memicos_webapp.jobs.repository` has the lock of each import's job.
"""

from collections.abc import Sequence

from asyncpg import Connection

SET_CLASS = 0x73657473
"""With a hash of model and set: held while a dataset of that set is imported ("sets")."""
CATALOGUE = 0x6C6F6164
"""Held by short transactions that change the catalogue or flip loads ("load")."""
SOURCE_CLASS = 0x73726373
"""With the id of a source: held by the transaction that replaces its explanations ("srcs"), which takes it before the
lock on the catalogue."""
CORPUS = 0x636F7270
"""Shared by transactions that add or use a corpus; exclusive for the deletion of unused ones ("corp")."""


async def lock_set(connection: Connection, subject: str) -> None:
    """Wait for other imports of the same set (`model/set`); held until the connection closes."""
    await connection.execute("SELECT pg_advisory_lock($1::int, hashtext($2))", SET_CLASS, subject)


async def unlock_set(connection: Connection, subject: str) -> None:
    await connection.execute("SELECT pg_advisory_unlock($1::int, hashtext($2))", SET_CLASS, subject)


async def lock_sources(connection: Connection, source_ids: Sequence[int]) -> None:
    """Wait for imports of other sets that replace explanations of the same sources; held until the transaction ends."""
    # in the order of ids, so that two imports never wait for each other
    for source_id in sorted(source_ids):
        await connection.execute("SELECT pg_advisory_xact_lock($1::int, $2::int)", SOURCE_CLASS, source_id)


async def lock_catalogue(connection: Connection) -> None:
    """Wait for the lock on the catalogue; held until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", CATALOGUE)


async def try_lock_catalogue(connection: Connection) -> bool:
    """Take the lock on the catalogue if it is free; returns whether it was. Held until the transaction ends."""
    return bool(await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", CATALOGUE))


async def share_corpus(connection: Connection) -> None:
    """Keep unused corpora from being deleted until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock_shared($1)", CORPUS)


async def try_lock_corpus(connection: Connection) -> bool:
    """Returns True, and prevents others from adding a corpus until this transaction ends, if none is being added."""
    return bool(await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", CORPUS))
