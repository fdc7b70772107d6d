"""SQL of uploads. Every statement is about the uploads of one account, or is part of the clean-up."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as insert_or_ignore
from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog.models import Load, LoadState
from memicos_webapp.database.connection import ended_connection
from memicos_webapp.database.mapping import from_row
from memicos_webapp.dataset_uploads.models import DatasetUpload, DatasetUploadFile, DatasetUploadPart
from memicos_webapp.dataset_uploads.rows import FileRow, JobRow, UploadRow
from memicos_webapp.jobs import repository as jobs
from memicos_webapp.jobs import service as job_service
from memicos_webapp.jobs.models import Job, JobState

_COLUMNS = (
    DatasetUpload.id,
    DatasetUpload.account_id,
    DatasetUpload.name,
    DatasetUpload.options,
    DatasetUpload.bytes,
    DatasetUpload.part_bytes,
    DatasetUpload.job_id,
    DatasetUpload.created_at,
)
_JOB_COLUMNS = ("id", "state", "active", "error", "files", "files_done", "rows_done", "rows", "rejects")


async def lock_account(session: AsyncSession, account_id: int) -> None:
    """Until the transaction ends, nobody else begins, completes or deletes uploads of the account."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"uploads of {account_id}"))))


async def count_open(session: AsyncSession, account_id: int) -> int:
    statement = select(func.count()).where(DatasetUpload.account_id == account_id, DatasetUpload.job_id.is_(None))
    return await session.scalar(statement) or 0


async def outstanding_bytes(session: AsyncSession) -> int:
    """Bytes that open uploads of all accounts have announced and not sent."""
    announced = select(func.coalesce(func.sum(DatasetUpload.bytes), 0)).where(DatasetUpload.job_id.is_(None))
    received = (
        select(func.coalesce(func.sum(DatasetUploadPart.bytes), 0))
        .join(DatasetUpload, DatasetUpload.id == DatasetUploadPart.upload_id)
        .where(DatasetUpload.job_id.is_(None))
    )
    return int((await session.scalar(announced) or 0) - (await session.scalar(received) or 0))


async def find_same(session: AsyncSession, account_id: int, fingerprint: str) -> UploadRow | None:
    """The newest upload of the same files that is open, or whose import is queued, runs, or is done and still shown."""
    shown = select(Load.id).where(Load.manifest_sha256 == Job.manifest_sha256, Load.state == LoadState.SHOWN).exists()
    statement = (
        select(*_COLUMNS)
        .outerjoin(Job, Job.id == DatasetUpload.job_id)
        .where(
            DatasetUpload.account_id == account_id,
            DatasetUpload.fingerprint == fingerprint,
            Job.id.is_(None)
            | Job.state.not_in((JobState.DONE, JobState.FAILED, JobState.CANCELLED))
            | ((Job.state == JobState.DONE) & shown),
        )
        .order_by(DatasetUpload.created_at.desc())
        .limit(1)
    )
    row = (await session.execute(statement)).mappings().one_or_none()
    return from_row(UploadRow, row) if row else None


async def add(session: AsyncSession, values: Mapping[str, Any], files: Sequence[FileRow]) -> None:
    """Add an upload with these values of `DatasetUpload`, and its files."""
    await session.execute(insert(DatasetUpload).values(**values))
    rows = [
        {"upload_id": values["id"], "number": row.number, "path": row.path, "bytes": row.bytes, "sha256": row.sha256}
        for row in files
    ]
    await session.execute(insert(DatasetUploadFile), rows)


async def get(session: AsyncSession, account_id: int, upload_id: str, lock: bool = False) -> UploadRow | None:
    """An upload of the account; with `lock` nobody else changes it until the transaction ends."""
    statement = select(*_COLUMNS).where(DatasetUpload.id == upload_id, DatasetUpload.account_id == account_id)
    row = (await session.execute(statement.with_for_update() if lock else statement)).mappings().one_or_none()
    return from_row(UploadRow, row) if row else None


async def files(session: AsyncSession, upload: UploadRow) -> Sequence[FileRow]:
    table = DatasetUploadFile
    statement = select(table.number, table.path, table.bytes, table.sha256).where(table.upload_id == upload.id)
    return [from_row(FileRow, row) for row in (await session.execute(statement.order_by(table.number))).mappings()]


async def file(session: AsyncSession, upload: UploadRow, number: int) -> FileRow | None:
    table = DatasetUploadFile
    statement = select(table.number, table.path, table.bytes, table.sha256).where(
        table.upload_id == upload.id, table.number == number
    )
    row = (await session.execute(statement)).mappings().one_or_none()
    return from_row(FileRow, row) if row else None


async def received(session: AsyncSession, upload: UploadRow) -> dict[int, list[int]]:
    """Numbers of the stored parts by number of the file."""
    table = DatasetUploadPart
    statement = select(table.file, table.number).where(table.upload_id == upload.id)
    parts: dict[int, list[int]] = {}
    for number, part in await session.execute(statement.order_by(table.file, table.number)):
        parts.setdefault(number, []).append(part)
    return parts


async def has_part(session: AsyncSession, upload: UploadRow, number: int, part: int) -> bool:
    table = DatasetUploadPart
    statement = select(table.number).where(table.upload_id == upload.id, table.file == number, table.number == part)
    return await session.scalar(statement) is not None


async def add_part(session: AsyncSession, upload: UploadRow, number: int, part: int, size: int) -> None:
    await session.execute(
        insert_or_ignore(DatasetUploadPart)
        .values(upload_id=upload.id, file=number, number=part, bytes=size)
        .on_conflict_do_nothing()
    )


async def discard_parts(session: AsyncSession, upload: UploadRow, number: int) -> None:
    table = DatasetUploadPart
    await session.execute(delete(table).where(table.upload_id == upload.id, table.file == number))


async def touch(session: AsyncSession, upload: UploadRow) -> None:
    """Note that the upload is being continued."""
    await session.execute(
        update(DatasetUpload).where(DatasetUpload.id == upload.id).values(updated_at=func.clock_timestamp())
    )


async def remove(session: AsyncSession, upload_id: str) -> None:
    await session.execute(delete(DatasetUpload).where(DatasetUpload.id == upload_id))


@asynccontextmanager
async def _driver_connection(session: AsyncSession) -> AsyncIterator[Any]:
    """The asyncpg connection of a session whose transaction has begun: statements on it are part of that."""
    raw = await (await session.connection()).get_raw_connection()
    connection = raw.driver_connection
    assert connection is not None
    with ended_connection(connection):
        yield connection


async def queue_import(
    session: AsyncSession, upload: UploadRow, kind: str, location: str, options: Mapping[str, Any]
) -> int:
    """Queue the import of an upload and note it there, both or neither; returns the number of the job."""
    async with _driver_connection(session) as connection:
        job_id = await job_service.add(connection, kind, location, options)
    await session.execute(
        update(DatasetUpload)
        .where(DatasetUpload.id == upload.id)
        .values(job_id=job_id, updated_at=func.clock_timestamp())
    )
    await session.execute(delete(DatasetUploadPart).where(DatasetUploadPart.upload_id == upload.id))
    return job_id


async def job(session: AsyncSession, upload: UploadRow) -> JobRow | None:
    """The import that an upload became, with its progress."""
    if upload.job_id is None:
        return None
    async with _driver_connection(session) as connection:
        row = await jobs.get(connection, upload.job_id)
    return JobRow(**{name: row[name] for name in _JOB_COLUMNS}) if row else None


async def expired(session: AsyncSession, seconds: float) -> Sequence[tuple[str, int]]:
    """(id, account) of uploads whose import is done, or that nobody continued for `seconds`."""
    statement = text(
        """SELECT dataset_upload.id, account_id FROM dataset_upload LEFT JOIN job ON job.id = job_id
           WHERE job.state = 'done'
              OR (job.id IS NULL AND dataset_upload.updated_at <= now() - make_interval(secs => :seconds))
              OR (job.state IN ('failed', 'cancelled')
                  AND job.finished_at <= now() - make_interval(secs => :seconds))"""
    )
    rows = await session.execute(statement, {"seconds": seconds})
    return [(upload_id, account_id) for upload_id, account_id in rows]


async def known(session: AsyncSession) -> set[str]:
    """Ids of all uploads."""
    return set((await session.scalars(select(DatasetUpload.id))).all())
