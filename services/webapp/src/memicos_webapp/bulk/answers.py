"""Answers of language models in PostgreSQL: a job that was interrupted pays for none of them again."""

import json
from dataclasses import asdict

from memicos_autointerp_core.bulk.estimate import CostSample
from memicos_autointerp_core.providers.answer_cache import answer_from_json, answer_json
from memicos_autointerp_core.providers.chat import Answer
from sqlalchemy import select, text, update

from memicos_webapp.database.engine import Database
from memicos_webapp.jobs.models import Job

_FIND = text("SELECT answer FROM language_model_answer WHERE key = :key")
_ADD = text("INSERT INTO language_model_answer (key, answer) VALUES (:key, :answer) ON CONFLICT DO NOTHING")
_PAY = text("UPDATE job SET paid = paid + :cost, attempts_without_progress = 0 WHERE id = :job")


class DatabaseAnswerCache:
    """Answers by the hash of their request. An answer, and what the job has paid, are stored in one transaction."""

    def __init__(self, database: Database, job_id: int) -> None:
        self._database = database
        self._job_id = job_id

    async def get(self, key: str) -> Answer | None:
        async with self._database.snapshot() as session:
            stored = await session.scalar(_FIND, {"key": key})
        return answer_from_json(json.loads(stored)) if stored else None

    async def put(self, key: str, answer: Answer) -> None:
        body = json.dumps(answer_json(answer))
        async with self._database.transaction() as session:
            await session.execute(_ADD, {"key": key, "answer": body})
            await session.execute(_PAY, {"cost": answer.cost or 0.0, "job": self._job_id})

    async def paid(self) -> float:
        """US dollars that the job has paid so far."""
        async with self._database.snapshot() as session:
            return await session.scalar(select(Job.paid).where(Job.id == self._job_id)) or 0.0

    async def pay(self, cost: float) -> None:
        """Store what an answer has cost that cannot be used."""
        async with self._database.transaction() as session:
            await session.execute(_PAY, {"cost": cost, "job": self._job_id})


class DatabaseSample:
    """The `SampleStore` of a job."""

    def __init__(self, database: Database, job_id: int) -> None:
        self._database, self._job_id = database, job_id

    async def cost_sample(self) -> CostSample:
        async with self._database.snapshot() as session:
            stored = await session.scalar(select(Job.cost_sample).where(Job.id == self._job_id))
        return CostSample(**stored) if stored else CostSample()

    async def store_cost_sample(self, sample: CostSample) -> None:
        async with self._database.transaction() as session:
            await session.execute(update(Job).where(Job.id == self._job_id).values(cost_sample=asdict(sample)))
