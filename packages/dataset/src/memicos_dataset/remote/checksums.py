"""Local files with their hashes, and whether a remote file has the same content."""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memicos_dataset.folder import COPY_BYTES

_MD5 = re.compile(r"[0-9a-f]{32}")
METADATA_KEY = "sha256"
"""Name of the sha256 among the user's metadata of an object in S3."""


@dataclass(frozen=True)
class LocalFile:
    """A file that is put at `path`, relative to a remote folder."""

    path: str
    file: Path
    bytes: int
    md5: str
    sha256: str


def local_file(root: Path, path: str) -> LocalFile:
    """The file `path` below `root`, whose hashes are computed.

    Raises:
        OSError: it cannot be read.
    """
    # md5 is what object stores have of each object; it detects damage, and protects from nobody
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    size = 0
    with (root / path).open("rb") as file:
        while chunk := file.read(COPY_BYTES):
            md5.update(chunk)
            sha256.update(chunk)
            size += len(chunk)
    return LocalFile(path, root / path, size, md5.hexdigest(), sha256.hexdigest())


def agrees(system: Any, place: str, info: dict[str, Any], file: LocalFile) -> bool:
    """Whether the remote file at `place` has the size and the content of a local one.

    By the checksum of the listing `info` (`ETag` of S3, `md5Hash` of Google), by the sha256 that was put with it, else
    by reading it.
    """
    if info.get("size") != file.bytes:
        return False
    if _md5(info) == file.md5:
        return True
    if "ETag" in info:
        # not the md5 of objects that were put in parts or are encrypted with a key of the user's
        stored = {key.lower(): value for key, value in (system.metadata(place) or {}).items()}.get(METADATA_KEY)
        if stored is not None:
            return stored == file.sha256
    if _md5(info):
        return False
    digest = hashlib.sha256()
    with system.open(place, "rb") as remote:
        while chunk := remote.read(COPY_BYTES):
            digest.update(chunk)
    return digest.hexdigest() == file.sha256


def _md5(info: dict[str, Any]) -> str | None:
    """The md5 that a listing has of an object; None where it has none."""
    if tag := str(info.get("ETag") or "").strip('"'):
        return tag if _MD5.fullmatch(tag) else None
    encoded = info.get("md5Hash")
    try:
        return base64.b64decode(str(encoded), validate=True).hex() if encoded else None
    except binascii.Error:
        return None
