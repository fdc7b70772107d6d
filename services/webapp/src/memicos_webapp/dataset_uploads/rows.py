"""Rows of uploads."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class UploadRow:
    """An upload of an account."""

    id: str
    account_id: int
    name: str
    options: dict[str, Any]
    bytes: int
    part_bytes: int
    job_id: int | None
    created_at: datetime


@dataclass(frozen=True)
class FileRow:
    """A file of an upload."""

    number: int
    path: str
    bytes: int
    sha256: str

    def parts(self, part_bytes: int) -> int:
        return -(-self.bytes // part_bytes)

    def part_size(self, part: int, part_bytes: int) -> int:
        return min(part_bytes, self.bytes - part * part_bytes)


@dataclass(frozen=True)
class JobRow:
    """The import that an upload became."""

    id: int
    state: str
    active: bool
    error: str | None
    files: int
    files_done: int
    rows_done: int
    rows: int
    rejects: int


@dataclass(frozen=True)
class UploadDetail:
    """An upload with its files and their parts: `received` has the numbers of the stored parts by file number."""

    upload: UploadRow
    files: Sequence[FileRow]
    received: dict[int, list[int]]
    job: JobRow | None
