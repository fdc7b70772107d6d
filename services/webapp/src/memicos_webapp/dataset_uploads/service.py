"""Uploads of datasets: begun, continued, completed as one import, deleted.

An upload is open until it becomes an import job, in the transaction that queues the job: a server that is killed
before leaves an open upload, after it a complete one, and completing it again returns the same job.
"""

import asyncio
import hashlib
import json
import secrets
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from memicos_dataset.public_layout.metadata import MetadataOptions
from memicos_dataset.wording import quantity
from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.database.engine import Database
from memicos_webapp.dataset_uploads import repository
from memicos_webapp.dataset_uploads.rows import FileRow, UploadDetail, UploadRow
from memicos_webapp.dataset_uploads.schemas import NewUploadRequest
from memicos_webapp.dataset_uploads.storage import UnusablePartsError, UploadStorage, check_space, disk_errors
from memicos_webapp.dataset_uploads.threads import UploadThreads, run
from memicos_webapp.datasets.running_import import ImportOptions
from memicos_webapp.datasets.service import IMPORT
from memicos_webapp.errors import BadInput, Conflict, NotFound, Refused, TooLarge
from memicos_webapp.settings import Settings, variable

SHOWN_PATHS = 5
"""Paths that a message names."""


@dataclass
class Uploads:
    """The uploads of a server."""

    database: Database
    settings: Settings
    slots: asyncio.Semaphore = field(init=False)
    threads: UploadThreads = field(init=False)

    def __post_init__(self) -> None:
        self.slots = asyncio.Semaphore(self.settings.upload_parts_at_once)
        self.threads = UploadThreads(self.settings)

    async def begin(self, viewer: Viewer, body: NewUploadRequest) -> UploadDetail:
        """Begin an upload, or return that of the same files which is open or was imported.

        Raises:
            BadInput: two files have the same path, or one is the folder of another.
            TooLarge: there are too many files or bytes.
            Conflict: the account has too many open uploads.
            InsufficientStorage: the disk has not enough space.
        """
        account_id = _account(viewer)
        files = [FileRow(number, file.path, file.bytes, file.sha256) for number, file in enumerate(body.files)]
        self._check(files)
        total = sum(file.bytes for file in files)
        options = self._import_options(body)
        fingerprint = _fingerprint(body, self.settings.upload_part_bytes)
        async with self.database.transaction() as session:
            await repository.lock_account(session, account_id)
            if same := await repository.find_same(session, account_id, fingerprint):
                return await self._detail(session, same)
            if await repository.count_open(session, account_id) >= self.settings.uploads_per_account:
                raise Conflict(
                    f"The account has {self.settings.uploads_per_account} open uploads, the most that it may have "
                    f"({variable('uploads_per_account')}): complete or delete one first."
                )
            # the parts, and the largest file while it is made of them
            needed = total + max(file.bytes for file in files)
            outstanding = await repository.outstanding_bytes(session)
            with disk_errors(self.settings.uploads):
                check_space(self.settings.uploads, needed, outstanding, self.settings.upload_free_bytes)
            values = {
                "id": secrets.token_hex(16),
                "account_id": account_id,
                "name": body.name,
                "fingerprint": fingerprint,
                "options": options.as_json(),
                "bytes": total,
                "part_bytes": self.settings.upload_part_bytes,
            }
            await repository.add(session, values, files)
            upload = await repository.get(session, account_id, values["id"])
            assert upload is not None
            return await self._detail(session, upload)

    def _check(self, files: list[FileRow]) -> None:
        limit = self.settings.upload_files
        if len(files) > limit:
            raise TooLarge(
                f"The dataset has {len(files)} files; at most {limit} are taken ({variable('upload_files')})."
            )
        total = sum(file.bytes for file in files)
        if total > self.settings.upload_bytes:
            raise TooLarge(
                f"The dataset has {total:,} bytes; at most {self.settings.upload_bytes:,} are taken "
                f"({variable('upload_bytes')})."
            )
        # some file systems take names that differ in case for the same
        paths = {file.path.casefold() for file in files}
        if len(paths) < len(files):
            raise BadInput("Two files have the same path, or paths that differ in upper and lower case only.")
        for path in paths:
            parts = path.split("/")
            for end in range(1, len(parts)):
                if (folder := "/".join(parts[:end])) in paths:
                    raise BadInput(f"{folder} is a file and the folder of {path}.")

    def _import_options(self, body: NewUploadRequest) -> ImportOptions:
        given = body.metadata
        metadata = MetadataOptions()
        if given is not None:
            metadata = MetadataOptions(
                given.layers, given.dModel, given.vocabularySize, given.countedTokens, given.license, given.corpusUrl
            )
        return ImportOptions(
            missing=body.missing,
            move_sources=body.moveSources,
            retired_seconds=self.settings.retired_load_seconds,
            reject_limit=self.settings.import_reject_limit,
            conversions=str(self.settings.conversions.resolve()),
            metadata=asdict(metadata),
        )

    async def get(self, viewer: Viewer, upload_id: str) -> UploadDetail:
        """
        Raises:
            NotFound: the account has no such upload.
        """
        async with self.database.snapshot() as session:
            return await self._detail(session, await self._found(session, viewer, upload_id))

    async def receive(
        self, viewer: Viewer, upload_id: str, number: int, part: int, sha256: str, body: AsyncIterator[bytes]
    ) -> None:
        """Store a part. One that is there already is not read again.

        Raises:
            NotFound: the account has no such upload, file or part.
            BadInput: the part has another size or sha256.
            Conflict: the upload is complete.
            InsufficientStorage: the disk is full.
        """
        async with self.slots:
            async with self.database.snapshot() as session:
                upload = await self._found(session, viewer, upload_id)
                file = await repository.file(session, upload, number)
                if file is None or part >= file.parts(upload.part_bytes):
                    raise NotFound(f"The upload {upload_id} has no part {part} of file {number}.")
                _check_open(upload)
                if await repository.has_part(session, upload, number, part):
                    return
            storage = UploadStorage.of(self.settings, upload)
            with self._disk_errors(upload_id):
                place = await storage.receive(body, file.part_size(part, upload.part_bytes), sha256, self.threads.parts)
            try:
                await self._store(viewer, upload, storage.part(file, part), place, (file, part))
            finally:
                with self._disk_errors(upload_id):
                    place.unlink(missing_ok=True)

    async def _store(
        self, viewer: Viewer, upload: UploadRow, target: Path, place: Path, part: tuple[FileRow, int]
    ) -> None:
        """Show a part that was received, unless the upload was deleted or completed, or another client was faster."""
        file, number = part
        async with self.database.transaction() as session:
            upload = await self._found(session, viewer, upload.id, lock=True)
            _check_open(upload)
            if await repository.has_part(session, upload, file.number, number):
                return
            with self._disk_errors(upload.id):
                await run(self.threads.parts, place.rename, target)
            await repository.add_part(session, upload, file.number, number, file.part_size(number, upload.part_bytes))
            await repository.touch(session, upload)

    async def complete(self, viewer: Viewer, upload_id: str) -> int:
        """Check the files of an upload and queue their import, once; returns the number of the job.

        Raises:
            NotFound: the account has no such upload.
            Conflict: parts are missing or lost, a file has another sha256 than announced, or another request completes
                it.
            InsufficientStorage: the disk is full.
        """
        async with self.database.transaction() as session:
            upload = await self._found(session, viewer, upload_id, lock=True)
            if upload.job_id is not None:
                return upload.job_id
            files = await repository.files(session, upload)
            received = await repository.received(session, upload)
            await repository.touch(session, upload)
        missing = [file for file in files if len(received.get(file.number, ())) < file.parts(upload.part_bytes)]
        if missing:
            raise Conflict(
                f"Parts of {quantity(len(missing), 'file')} are missing: {_some(missing)}. "
                "Send them, and complete again."
            )
        storage = UploadStorage.of(self.settings, upload)
        try:
            with self._disk_errors(upload_id):
                # of files that are all empty nothing was received
                storage.make()
                await self._assemble(storage, files, upload.part_bytes)
        except UnusablePartsError as error:
            async with self.database.transaction() as session:
                await self._found(session, viewer, upload_id, lock=True)
                for file in error.files:
                    with self._disk_errors(upload_id):
                        await run(self.threads.parts, storage.discard_parts, file, upload.part_bytes)
                    await repository.discard_parts(session, upload, file.number)
            raise Conflict(f"{error} Send them again, or begin a new upload.") from error
        async with self.database.transaction() as session:
            await repository.lock_account(session, upload.account_id)
            upload = await self._found(session, viewer, upload_id, lock=True)
            if upload.job_id is not None:
                return upload.job_id
            return await repository.queue_import(session, upload, IMPORT.name, str(storage.dataset), upload.options)

    async def delete(self, viewer: Viewer, upload_id: str) -> None:
        """Delete an upload.

        Raises:
            NotFound: the account has no such upload.
            Conflict: its import is queued or runs.
        """
        async with self.database.transaction() as session:
            await repository.lock_account(session, _account(viewer))
            upload = await self._found(session, viewer, upload_id, lock=True)
            job = await repository.job(session, upload)
            if job is not None and job.state in ("queued", "running"):
                raise Conflict(f"Its import, job {job.id}, is {job.state}: `memicos jobs cancel {job.id}` ends it.")
            await repository.remove(session, upload.id)
        await run(self.threads.parts, UploadStorage.of(self.settings, upload).delete)

    def _disk_errors(self, upload_id: str) -> AbstractContextManager[None]:
        return disk_errors(self.settings.uploads, upload_id)

    async def _assemble(self, storage: UploadStorage, files: Sequence[FileRow], part_bytes: int) -> None:
        """`storage.assemble` in a thread, which a cancelled request ends: the server's shutdown waits for its
        threads."""
        stop = threading.Event()
        try:
            await run(self.threads.completions, storage.assemble, files, part_bytes, stop)
        finally:
            stop.set()

    async def _found(self, session: AsyncSession, viewer: Viewer, upload_id: str, lock: bool = False) -> UploadRow:
        upload = await repository.get(session, _account(viewer), upload_id, lock)
        if upload is None:
            raise NotFound(
                f"The account has no upload {upload_id}. Uploads are deleted when their import is done, and after "
                f"{self.settings.upload_days:g} days without progress."
            )
        return upload

    async def _detail(self, session: AsyncSession, upload: UploadRow) -> UploadDetail:
        return UploadDetail(
            upload,
            await repository.files(session, upload),
            await repository.received(session, upload),
            await repository.job(session, upload),
        )


def _account(viewer: Viewer) -> int:
    if viewer.account_id is None:
        raise Refused("Only an account uploads datasets.")
    return viewer.account_id


def _check_open(upload: UploadRow) -> None:
    if upload.job_id is not None:
        raise Conflict(f"The upload {upload.id} is complete: job {upload.job_id} imports it.")


def _some(files: list[FileRow]) -> str:
    shown = ", ".join(file.path for file in files[:SHOWN_PATHS])
    return shown + (", …" if len(files) > SHOWN_PATHS else "")


def _fingerprint(body: NewUploadRequest, part_bytes: int) -> str:
    content: dict[str, Any] = {**body.model_dump(mode="json"), "partBytes": part_bytes}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
