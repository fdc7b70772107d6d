"""Messages about a database that cannot be used: the reason and what to do, in one line."""

import socket
import ssl

import asyncpg
from sqlalchemy import URL, make_url
from sqlalchemy.exc import DBAPIError

CERTIFICATES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
"""Parameters of DATABASE_URL that name files."""
PGVECTOR = "install pgvector in that server (docs: the image pgvector/pgvector:pg18, or your system's package)"


def describe(error: OSError | DBAPIError | asyncpg.PostgresError, url: str) -> str:
    """One line about a failed connection or statement.

    Args:
        error: what the driver raised.
        url: the database's URL; its password is never part of the line.
    """
    parsed = make_url(url)
    server = f"{parsed.host or 'the local socket'}:{parsed.port or 5432}"
    reason = error.orig if isinstance(error, DBAPIError) else error
    # SQLAlchemy wraps the driver's error in its own
    cause = getattr(reason, "__cause__", None) or reason
    advice = _tls_advice(cause, server, parsed) or _advice(cause, server, parsed.username or "", parsed.database or "")
    first_line = str(cause).strip().partition("\n")[0]
    return f"the database cannot be used: {first_line}" + (f". {advice}" if advice else "")


def _tls_advice(cause: BaseException | None, server: str, url: URL) -> str | None:
    """What to do about a connection that failed because of TLS; None where it failed for another reason."""
    if isinstance(cause, ssl.SSLError):
        return f"The TLS connection to {server} failed: correct its certificate, or sslmode and sslrootcert"
    if isinstance(cause, ConnectionError) and "SSL upgrade" in str(cause):
        return f"{server} does not use TLS: turn it on there, or leave out sslmode in DATABASE_URL"
    files = [name for name in CERTIFICATES if name in url.query]
    if isinstance(cause, FileNotFoundError | PermissionError) and files:
        return f"Correct the files that {', '.join(files)} in DATABASE_URL name"
    return None


def _advice(cause: BaseException | None, server: str, user: str, database: str) -> str | None:
    """What to do about an error; None where that is not known."""
    if isinstance(cause, asyncpg.InvalidPasswordError):
        return (
            f"The password of user {user} in DATABASE_URL (or PGPASSWORD) is not the one that {server} has: PostgreSQL "
            "keeps the password of its first start. Use that one, or change it there by ALTER ROLE"
        )
    if isinstance(cause, asyncpg.InvalidAuthorizationSpecificationError):
        return f"Correct the user in DATABASE_URL, or let {server} accept it: CREATE ROLE, or a line in pg_hba.conf"
    if isinstance(cause, asyncpg.InvalidCatalogNameError):
        return f"Create it on {server}: createdb {database}"
    if isinstance(cause, asyncpg.InsufficientPrivilegeError):
        return f"Let the user {user} do that, or have an administrator run CREATE EXTENSION vector in {database}"
    if isinstance(cause, asyncpg.FeatureNotSupportedError | asyncpg.UndefinedFileError) and "vector" in str(cause):
        return f"The server {server} has no pgvector: {PGVECTOR}"
    if isinstance(cause, asyncpg.CannotConnectNowError):
        return f"{server} is starting or stopping: try again"
    if isinstance(cause, socket.gaierror):
        return f"The host name in DATABASE_URL cannot be resolved ({server})"
    if isinstance(cause, OSError):
        return f"Nothing accepts connections at {server}: start PostgreSQL there, or change DATABASE_URL"
    return None
