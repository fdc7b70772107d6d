"""Errors of uploads."""


class UploadError(Exception):
    """An upload that cannot go on: the message has what was wrong and what to do."""


class RefusedError(UploadError):
    """The server refused a request with a status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
