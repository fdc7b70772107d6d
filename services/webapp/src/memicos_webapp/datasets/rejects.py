"""Rows that an import leaves out: recorded one by one, up to a limit."""

import asyncio
from dataclasses import dataclass, field

from asyncpg import Connection
from memicos_dataset.errors import DatasetError, LineError, RowError
from memicos_dataset.wording import quantity

from memicos_webapp.database.connection import connect
from memicos_webapp.jobs import file_repository
from memicos_webapp.settings import variable


@dataclass
class Rejects:
    """Rows that the import `job_id` leaves out, at most `limit`. Used from the threads that decode rows.

    A row is recorded at once and over a connection of its own, so that no roll-back loses it.
    """

    job_id: int
    url: str
    limit: int
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    rows: set[tuple[str, int]] = field(default_factory=set)
    """File and line, counted from 1, of each."""

    @classmethod
    async def read(cls, connection: Connection, job_id: int, url: str, limit: int) -> "Rejects":
        """With those of earlier attempts."""
        earlier = await file_repository.rejects(connection, job_id)
        return cls(job_id, url, limit, rows={(row["file"], row["line"]) for row in earlier})

    def add(self, error: RowError | LineError) -> None:
        """Leave out the row that `error` is about; called from a thread, not from the event loop.

        Raises:
            DatasetError: it is one too many.
        """
        file = str(error.path)
        line = error.row + 1 if isinstance(error, RowError) else error.line
        self.rows.add((file, line))
        asyncio.run_coroutine_threadsafe(self._record(file, line, error), self.loop).result()
        if len(self.rows) <= self.limit:
            return
        if not self.limit:
            raise error
        raise DatasetError(
            error.path,
            f"{error.problem}; {quantity(self.limit, 'row')} left out before it, and no more may be "
            f"({variable('import_reject_limit')})",
        )

    async def _record(self, file: str, line: int, error: RowError | LineError) -> None:
        connection = await connect(self.url, "memicos-rejects")
        try:
            await file_repository.add_reject(connection, self.job_id, file, line, error.column, error.reason)
        finally:
            await connection.close()
