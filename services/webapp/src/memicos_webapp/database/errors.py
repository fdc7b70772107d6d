"""Errors of a database that cannot be used."""


class DatabaseError(RuntimeError):
    """The database cannot be used; the message is one line with what to do."""


class DatabaseUnreachableError(ConnectionError):
    """The database does not answer, refuses a connection, or has ended one. Its cause is the driver's error."""
