"""Errors of a database that cannot be used, and of statements."""

from asyncpg import InterfaceError, InternalClientError, PostgresError

StatementError = PostgresError
"""A statement on a connection of asyncpg failed; on SQLAlchemy's connections it is a DBAPIError."""

DRIVER_ERRORS = (InterfaceError, InternalClientError)
"""asyncpg's own: a wrong call, or the connection has ended; the second one where it ended between two messages of a
statement."""


class DatabaseError(RuntimeError):
    """The database cannot be used; the message is one line with what to do."""


class DatabaseUnreachableError(ConnectionError):
    """The database does not answer, refuses a connection, or has ended one. Its cause is the driver's error."""
