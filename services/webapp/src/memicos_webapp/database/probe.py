"""`python -m memicos_webapp.database.probe`: whether the webapp can use the database of DATABASE_URL; changes nothing.

`make doctor` runs it and reads its output, one JSON object: `subject`, `text` and `ok`.
"""

import asyncio
import json
import os
import sys
from dataclasses import asdict, dataclass

import asyncpg

from memicos_webapp.database.connection import connect
from memicos_webapp.database.connection_errors import describe
from memicos_webapp.database.errors import DatabaseError, DatabaseUnreachableError
from memicos_webapp.database.migrate import OLDEST_POSTGRESQL, check_revision_known

EXTENSION = "vector"
STATE = """
    SELECT current_setting('server_version_num')::int AS version,
           EXISTS (SELECT FROM pg_available_extensions WHERE name = $1) AS available,
           EXISTS (SELECT FROM pg_extension WHERE extname = $1) AS installed,
           rolsuper OR EXISTS (SELECT FROM pg_available_extension_versions WHERE name = $1 AND trusted)
               AND has_database_privilege(current_database(), 'CREATE') AS may_install,
           has_schema_privilege('public', 'CREATE') AS may_create_tables,
           to_regclass('public.alembic_version') IS NOT NULL AS migrated,
           current_user AS "user", current_database() AS database
    FROM pg_roles WHERE rolname = current_user
"""


@dataclass(frozen=True)
class Report:
    subject: str
    """`database` or `pgvector`."""
    text: str
    """What works, or what is wrong and how to fix it."""
    ok: bool = False


async def probe(url: str, read_only: bool = False) -> Report:
    """The state of the database at `url`, as the webapp would find it; `read_only`: with MEMICOS_READ_ONLY=1."""
    try:
        connection = await connect(url, "memicos-doctor")
    except DatabaseError as error:
        return Report("database", str(error))
    except DatabaseUnreachableError as error:
        return Report("database", describe(error, url))
    try:
        return await _inspect(connection, read_only)
    except asyncpg.PostgresError as error:
        return Report("database", describe(error, url))
    except DatabaseError as error:
        return Report("database", str(error))
    finally:
        await connection.close()


async def _inspect(connection: asyncpg.Connection, read_only: bool) -> Report:
    """
    Raises:
        DatabaseError: a newer memicos migrated the database.
    """
    state = await connection.fetchrow(STATE, EXTENSION)
    assert state is not None
    major, user, database = state["version"] // 10000, state["user"], state["database"]
    if major < OLDEST_POSTGRESQL:
        return Report("database", f"PostgreSQL {major} is too old: install {OLDEST_POSTGRESQL} or newer")
    if not state["available"]:
        fix = f"sudo apt-get install postgresql-{major}-pgvector, or use the image pgvector/pgvector:pg{major}"
        return Report("pgvector", f"PostgreSQL at DATABASE_URL has no extension vector: {fix}")
    if not state["installed"] and not state["may_install"] and not read_only:
        fix = f'sudo -u postgres psql -d {database} -c "CREATE EXTENSION vector"'
        return Report("pgvector", f"user {user} may not create the extension vector in database {database}: {fix}")
    if not state["may_create_tables"] and not read_only:
        fix = f'sudo -u postgres psql -d {database} -c "GRANT CREATE ON SCHEMA public TO {user}"'
        return Report("database", f"user {user} may not create tables in database {database}: {fix}")
    if state["migrated"]:
        revision = await connection.fetchval("SELECT version_num FROM public.alembic_version")
        if revision is not None:
            check_revision_known(revision, "the database")
    return Report("database", f"PostgreSQL {major} with pgvector answers", ok=True)


def main() -> None:
    read_only = os.environ.get("MEMICOS_READ_ONLY", "").strip().lower() in ("1", "true", "yes", "on")
    report = asyncio.run(probe(os.environ["DATABASE_URL"], read_only))
    sys.stdout.write(json.dumps(asdict(report)) + "\n")


if __name__ == "__main__":
    main()
