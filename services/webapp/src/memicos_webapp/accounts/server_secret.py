"""The server's secret, with which API keys are hashed and keys for providers encrypted: MEMICOS_SECRET_KEY, or a file
in the data folder."""

import os
import secrets
import tempfile
from functools import lru_cache
from pathlib import Path

from memicos_webapp.errors import NotConfigured
from memicos_webapp.settings import Settings

FILE_NAME = "secret-key"
SECRET_BYTES = 32
SHORTEST_SECRET = 16
"""Bytes, as of the setting."""


def server_secret(settings: Settings) -> bytes:
    """The secret. Where no setting has it, it is in a file that only its owner may read; the first use makes it.

    Raises:
        NotConfigured: the file can be neither read nor made, or is too short.
    """
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value().encode()
    file = settings.data / FILE_NAME
    try:
        secret = _stored(file)
    except OSError as error:
        raise NotConfigured(
            f"Keys need a secret of the server, and {file} cannot be used ({error.strerror}): set "
            f"MEMICOS_SECRET_KEY to at least {SHORTEST_SECRET} random characters."
        ) from error
    if len(secret) < SHORTEST_SECRET:
        raise NotConfigured(
            f"Keys need a secret of the server, and {file} has fewer than {SHORTEST_SECRET} characters: delete the "
            "file, so that another one is made, and start the webapp again."
        )
    return secret


@lru_cache(8)
def _stored(file: Path) -> bytes:
    if not file.exists():
        _make(file)
    return file.read_bytes()


def _make(file: Path) -> None:
    """Write a new secret; a file that another process made meanwhile is left as it is."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # readable by its owner only
    handle, name = tempfile.mkstemp(prefix=f".{FILE_NAME}.", dir=file.parent)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as temporary:
            temporary.write(secrets.token_urlsafe(SECRET_BYTES))
            temporary.flush()
            os.fsync(temporary.fileno())
        # unlike a rename, a link never replaces a file
        os.link(name, file)
    except FileExistsError:
        pass
    finally:
        Path(name).unlink()
