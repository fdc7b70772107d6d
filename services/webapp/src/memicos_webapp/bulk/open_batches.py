"""Batches of jobs in PostgreSQL: a job that was killed goes on with its batch, and no other job pays for it."""

from collections.abc import Collection

from memicos_autointerp_core.bulk.meter import CannotContinue
from memicos_autointerp_core.bulk.stored_batches import OpenBatch
from memicos_autointerp_core.providers.chat import Answer, Chat, ChatRequest
from sqlalchemy import bindparam, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import Text

from memicos_webapp.database.engine import Database
from memicos_webapp.jobs.models import JobBatch, JobBatchRequest

_ADD_REQUESTS = text("INSERT INTO job_batch_request (batch, key) SELECT :batch, unnest(:keys)").bindparams(
    bindparam("keys", type_=ARRAY(Text))
)
_NOTE_NO_ANSWER = text(
    """UPDATE job_batch SET unanswered_since = coalesce(unanswered_since, now()) WHERE name = :name
       RETURNING extract(epoch FROM now() - unanswered_since)::double precision"""
)
_LOCK = 0x62617463
"""Key of the advisory lock ("batc" in ASCII): one job at a time adds a batch, and checks for those of others."""
_UNANSWERED = text(
    """SELECT key FROM unnest(:keys) AS key
       WHERE NOT EXISTS (SELECT FROM language_model_answer answer WHERE answer.key = key.key)"""
).bindparams(bindparam("keys", type_=ARRAY(Text)))
_AWAITED = text(
    """SELECT job_id FROM job_batch JOIN job_batch_request ON batch = name
       WHERE job_batch_request.key = ANY(:keys) AND job_id <> :job
         AND NOT EXISTS (SELECT FROM language_model_answer answer WHERE answer.key = job_batch_request.key)
       LIMIT 1"""
).bindparams(bindparam("keys", type_=ARRAY(Text)))


class DatabaseBatches:
    """The `BatchStore` of a job."""

    def __init__(self, database: Database, job_id: int) -> None:
        self._database, self._job_id = database, job_id

    async def add(self, batch: OpenBatch, requests: Collection[str]) -> Collection[str]:
        """
        Raises:
            CannotContinue: a batch that another job has added meanwhile has one of the requests.
        """
        values = {
            "name": batch.name,
            "job_id": self._job_id,
            "batch_id": batch.id,
            "model": batch.model,
            "max_tokens": batch.max_tokens,
            "max_request_cost": batch.max_request_cost,
        }
        async with self._database.transaction() as session:
            await session.execute(select(func.pg_advisory_xact_lock(_LOCK)))
            # another job may have opened a batch, and even stored its answers, since the requests were collected
            await _refuse_awaited(session, list(requests), self._job_id)
            unanswered = list(await session.scalars(_UNANSWERED, {"keys": list(requests)}))
            if unanswered:
                await session.execute(insert(JobBatch).values(values))
                await session.execute(_ADD_REQUESTS, {"batch": batch.name, "keys": unanswered})
        return set(unanswered)

    async def submitted(self, name: str, batch_id: str) -> None:
        async with self._database.transaction() as session:
            await session.execute(update(JobBatch).where(JobBatch.name == name).values(batch_id=batch_id))

    async def remove(self, name: str) -> None:
        async with self._database.transaction() as session:
            await session.execute(delete(JobBatch).where(JobBatch.name == name))

    async def open(self) -> list[OpenBatch]:
        statement = (
            select(JobBatch.name, JobBatch.batch_id, JobBatch.model, JobBatch.max_tokens, JobBatch.max_request_cost)
            .where(JobBatch.job_id == self._job_id)
            .order_by(JobBatch.created_at, JobBatch.name)
        )
        async with self._database.snapshot() as session:
            return [OpenBatch(*row) for row in await session.execute(statement)]

    async def requests(self, name: str) -> set[str]:
        async with self._database.snapshot() as session:
            found = await session.scalars(select(JobBatchRequest.key).where(JobBatchRequest.batch == name))
            return set(found)

    async def note_answer(self, name: str) -> None:
        statement = update(JobBatch).where(JobBatch.name == name, JobBatch.unanswered_since.is_not(None))
        async with self._database.transaction() as session:
            await session.execute(statement.values(unanswered_since=None))

    async def seconds_without_answer(self, name: str) -> float:
        async with self._database.transaction() as session:
            return await session.scalar(_NOTE_NO_ANSWER, {"name": name}) or 0.0


async def _refuse_awaited(session: AsyncSession, keys: list[str], job_id: int) -> None:
    """
    Raises:
        CannotContinue: a batch of another job will have the answer to one of these requests.
    """
    other = await session.scalar(_AWAITED, {"keys": keys, "job": job_id})
    if other is not None:
        raise CannotContinue(
            f"A batch of job {other} has a request of this job, which would be paid twice. Resume this job when the "
            f"batches of job {other} are closed (resume or cancel job {other})."
        )


class PaidOnceChat:
    """A `Chat` that asks nothing to which a batch of another job will have the answer."""

    def __init__(self, chat: Chat, database: Database, job_id: int, base_url: str) -> None:
        self._chat, self._database, self._job_id, self._base_url = chat, database, job_id, base_url

    async def chat(self, request: ChatRequest) -> Answer:
        """
        Raises:
            CannotContinue: another job waits for the answer.
            ProviderError: see `Chat.chat`.
        """
        async with self._database.snapshot() as session:
            await _refuse_awaited(session, [request.digest(self._base_url)], self._job_id)
        return await self._chat.chat(request)
