"""PostgreSQL's advisory locks of imports. PostgreSQL releases a session's locks when the session ends."""

from asyncpg import Connection

IMPORT_CLASS = 0x696D7074
"""With an import's number: held by the import as long as it runs ("impt")."""
SET_CLASS = 0x73657473
"""With a hash of model and set: held while a dataset of that set is imported ("sets")."""
CATALOGUE = 0x6C6F6164
"""Held by short transactions that change the catalogue or flip loads ("load")."""
CORPUS = 0x636F7270
"""Shared by transactions that add or use a corpus; exclusive for the deletion of unused ones ("corp")."""


async def begin_import(connection: Connection, model_id: str, set_id: str) -> int:
    """Take a number for an import and its lock, and wait for other imports of the same set.

    Both locks are held until the connection closes.
    """
    import_id = await connection.fetchval("SELECT nextval('load_import_id_seq')::int")
    assert isinstance(import_id, int)
    await connection.execute("SELECT pg_advisory_lock($1::int, $2::int)", IMPORT_CLASS, import_id)
    await connection.execute("SELECT pg_advisory_lock($1::int, hashtext($2))", SET_CLASS, f"{model_id}/{set_id}")
    return import_id


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
