"""Paths that users write in settings, requests and commands."""

import os
from pathlib import Path

from memicos_engine.errors import LoadError

MAX_SHOWN = 200
"""Longest part of a path in an error message, in characters."""


def user_path(text: str) -> Path:
    """The path `text`, with `~` and `~user` replaced by home folders.

    Raises:
        LoadError: it has a NUL character, or `~user` is no user with a home folder.
    """
    if "\0" in text:
        raise LoadError(f"{shortened(text)!r} is no path: it has a NUL character.")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        user = text.partition("/")[0]
        raise LoadError(f"{shortened(text)} is no path: there is no home folder of {shortened(user)}.") from error


def check_readable(path: Path) -> None:
    """Check that the system can look the path up; it may be missing.

    Raises:
        LoadError: it cannot, for example because a name is too long, links form a loop or a folder may not be entered.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise LoadError(f"{shortened(str(path))} cannot be read ({reason}).") from error


def is_folder(path: Path) -> bool:
    """Whether the path is a folder; False where the system cannot look it up: Path.is_dir raises then."""
    try:
        return path.is_dir()
    except OSError:
        return False


def real_path(path: Path) -> Path:
    """The absolute path without links. Links that form a loop remain: Path.resolve raises for them."""
    return Path(os.path.realpath(path))


def shortened(text: str) -> str:
    """The text as a message shows it: at most MAX_SHOWN characters, without surrogates, which no encoding can write."""
    return printable(text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…")


def printable(text: str) -> str:
    """The text with an escape in place of each surrogate, as names of files have for bytes that are not UTF-8."""
    return text.encode(errors="backslashreplace").decode()
