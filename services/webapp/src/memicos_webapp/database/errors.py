"""The error of a database that cannot be used."""


class DatabaseError(RuntimeError):
    """The database cannot be used; the message is one line with what to do."""
