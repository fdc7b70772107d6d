"""Errors of uploads, with messages of the server."""

SHOWN_CHARACTERS = 1000
"""Longest message of the server that is printed."""


def shown(text: object) -> str:
    """A text of the server on one line, as a terminal can print it: cut, without control characters."""
    line = " ".join(str(text)[: SHOWN_CHARACTERS + 1].split())
    line = "".join(character if character.isprintable() else "?" for character in line)
    return line if len(line) <= SHOWN_CHARACTERS else line[:SHOWN_CHARACTERS] + "…"


class UploadError(Exception):
    """An upload that cannot go on: the message has what was wrong and what to do."""


class RefusedError(UploadError):
    """The server refused a request with a status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
