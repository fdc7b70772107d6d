"""Connections to the database that a URL names: of asyncpg, and SQLAlchemy's engines over them."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg
from sqlalchemy import URL, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from memicos_webapp.database.errors import DRIVER_ERRORS, DatabaseError, DatabaseUnreachableError

CONNECT_SECONDS = 10
"""How long a connection may take to open, where the URL has no connect_timeout."""
CLOSE_SECONDS = 2
"""How long the end of a connection may take before it is cut."""
NO_LIMIT_SECONDS = 86_400
"""connect_timeout=0, which to libpq is no limit."""
PARAMETERS = frozenset(
    {
        "host", "port", "dbname", "database", "user", "password", "passfile", "service", "servicefile", "sslmode",
        "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword", "sslnegotiation", "ssl_min_protocol_version",
        "ssl_max_protocol_version", "target_session_attrs", "krbsrvname", "gsslib", "application_name", "options",
    }
)  # fmt: skip
"""Parameters of libpq's URLs that asyncpg or the server takes."""
WITHOUT_EFFECT = frozenset(
    {
        "client_encoding", "fallback_application_name", "gssencmode", "keepalives", "keepalives_count",
        "keepalives_idle", "keepalives_interval", "load_balance_hosts", "sslcompression", "sslsni", "tcp_user_timeout",
    }
)  # fmt: skip
"""Parameters that tune libpq's own connections, and are left out."""


def parse_url(url: str) -> URL:
    """A `postgresql://` URL, checked.

    Raises:
        DatabaseError: it is not a URL of PostgreSQL, or has a parameter that cannot be followed. The message never
            repeats the URL, as it may hold a password.
    """
    try:
        parsed = make_url(url)
    except (ValueError, ArgumentError):
        parsed = None
    if parsed is None or parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise DatabaseError("DATABASE_URL is not a URL of the form postgresql://user:password@host:5432/name")
    if parsed.host and "@" in parsed.host:
        # what precedes it is the end of the password
        raise DatabaseError(
            "DATABASE_URL has more than one @: write %40 in place of one in the user's name or password"
        )
    if parsed.port is not None and not 1 <= parsed.port <= 65535:
        raise DatabaseError(f"the port {parsed.port} in DATABASE_URL is not from 1 to 65535")
    query = dict(parsed.query)
    if query.get("channel_binding") == "require":
        raise DatabaseError(
            "channel_binding=require in DATABASE_URL is not supported: leave it out, and use sslmode=verify-full, "
            "which also proves the server's identity"
        )
    seconds = str(query.get("connect_timeout", CONNECT_SECONDS))
    if not (seconds.isascii() and seconds.isdecimal()):
        raise DatabaseError("connect_timeout in DATABASE_URL is not a whole number of seconds")
    known = PARAMETERS | WITHOUT_EFFECT | {"channel_binding", "connect_timeout"}
    if unknown := sorted(query.keys() - known):
        raise DatabaseError(
            f"DATABASE_URL has a parameter {unknown[0]!r}, which libpq does not have. Valid ones: "
            f"{', '.join(sorted(known))}"
        )
    return parsed.set(drivername="postgresql")


def url_without_password(url: str | URL) -> str:
    """A database's URL without its password."""
    # `URL.set` leaves what is None as it is
    return make_url(url)._replace(password=None).render_as_string()


async def connect(url: str, application: str, **options: Any) -> asyncpg.Connection:
    """Open a connection.

    Args:
        url: `postgresql://…`, with libpq's parameters.
        application: name in the server's list of sessions, where the URL gives none.
        options: of `asyncpg.connect`.

    Raises:
        DatabaseError: the URL cannot be used.
        DatabaseUnreachableError: the database does not answer, or refuses the connection.
    """
    parsed = parse_url(url)
    seconds = int(str(parsed.query.get("connect_timeout", CONNECT_SECONDS))) or NO_LIMIT_SECONDS
    dropped = WITHOUT_EFFECT | {"channel_binding", "connect_timeout"}
    settings = {"application_name": application, **options.pop("server_settings", {})}
    if name := parsed.query.get("application_name"):
        settings["application_name"] = str(name)
    dsn = parsed.difference_update_query([*dropped, "application_name"]).render_as_string(hide_password=False)
    try:
        return await asyncpg.connect(dsn, timeout=seconds, server_settings=settings, **options)
    except (OSError, asyncpg.PostgresError, *DRIVER_ERRORS) as error:
        raise DatabaseUnreachableError(str(error) or type(error).__name__) from error


@contextmanager
def ended_connection(connection: asyncpg.Connection) -> Iterator[None]:
    """For statements on asyncpg's own connection; SQLAlchemy's engines do the same for theirs.

    Raises:
        DatabaseUnreachableError: the connection ended, or the database did not answer in time.
    """
    try:
        yield
    except DatabaseUnreachableError:
        raise
    except (OSError, *DRIVER_ERRORS) as error:
        # asyncpg's errors of a wrong call are InterfaceErrors too, and other files and connections raise OSError
        if not connection.is_closed() and not isinstance(error, TimeoutError | asyncpg.InternalClientError):
            raise
        raise DatabaseUnreachableError(str(error) or type(error).__name__) from error


@asynccontextmanager
async def opened(url: str, application: str, **options: Any) -> AsyncIterator[asyncpg.Connection]:
    """A connection that is closed at the end. Raises as `connect` and `ended_connection` do."""
    connection = await connect(url, application, **options)
    try:
        with ended_connection(connection):
            yield connection
    finally:
        try:
            await connection.close(timeout=CLOSE_SECONDS)
        except (OSError, asyncpg.PostgresError, *DRIVER_ERRORS):
            connection.terminate()


def create_engine(
    url: str, application: str, server_settings: dict[str, str], answer_seconds: float | None = None, **options: Any
) -> AsyncEngine:
    """SQLAlchemy's engine for the database.

    Its connections raise DatabaseUnreachableError where the database does not answer, or no longer does.

    Args:
        url: `postgresql://…`, with libpq's parameters.
        application: name in the server's list of sessions, where the URL gives none.
        server_settings: PostgreSQL's settings for each session.
        answer_seconds: a connection whose server does not answer a statement for so long has ended; None: no limit.
        options: of `create_async_engine`.

    Raises:
        DatabaseError: the URL cannot be used.
    """
    parse_url(url)

    async def open_connection() -> asyncpg.Connection:
        return await connect(url, application, server_settings=server_settings, command_timeout=answer_seconds)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=open_connection, **options)
    event.listen(engine.sync_engine, "handle_error", _unreachable, retval=True)
    return engine


def _unreachable(context: ExceptionContext) -> BaseException | None:
    """Errors of the operating system in place of an answer, and those of asyncpg's state: the connection has ended."""
    error = context.original_exception
    ended = isinstance(error, OSError) or isinstance(error.__cause__, asyncpg.InternalClientError)
    if not ended or isinstance(error, DatabaseUnreachableError):
        return None
    context.is_disconnect = True
    unreachable = DatabaseUnreachableError(str(error) or type(error).__name__)
    unreachable.__cause__ = error
    return unreachable
