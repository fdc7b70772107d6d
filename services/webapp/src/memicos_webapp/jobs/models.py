"""Tables of jobs: long work, its files and its progress."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Double, Enum, ForeignKey, Identity, Index, Numeric, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from memicos_webapp.database.base import Base


class JobState(StrEnum):
    """A running job whose advisory lock nobody holds was interrupted, and is continued from its files."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Job(Base):
    """Long work; its id is of the sequence `load_import_id_seq`.

    The process that runs it holds the advisory lock of its id. `background`: the worker runs it; otherwise the command
    that began it. `subject` names what it works on, such as the model and the source set; null until that is known.
    `cancel_requested` of a cancelled job: what it left was not deleted yet. `run_again_at`: when a suspended job is run
    again; it stays set until the job is resumed by a user. `rows_done` counts rows stored so far, `paid` US dollars
    that language models were paid; `cost_sample` is what its `CostSample` has measured. `attempts_without_progress`
    counts starts since a file was complete, or the result of a feature stored.
    """

    __tablename__ = "job"
    __table_args__ = (Index(None, "state"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(Text)
    """Name of a `memicos_webapp.jobs.kinds.JobKind`."""
    location: Mapped[str] = mapped_column(Text)
    # their meaning is the kind's
    options: Mapped[dict[str, Any]] = mapped_column(JSONB)
    background: Mapped[bool]
    state: Mapped[JobState] = mapped_column(
        Enum(JobState, name="job_state", values_callable=lambda states: [state.value for state in states])
    )
    subject: Mapped[str | None] = mapped_column(Text)
    manifest_sha256: Mapped[str | None] = mapped_column(Text)
    cancel_requested: Mapped[bool] = mapped_column(server_default=text("false"))
    stage: Mapped[str | None] = mapped_column(Text)
    """What the job does now, in words."""
    error: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    attempts_without_progress: Mapped[int] = mapped_column(server_default=text("0"))
    rows_done: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    cost_sample: Mapped[dict[str, int] | None] = mapped_column(JSONB)
    paid: Mapped[float] = mapped_column(Double, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
    run_again_at: Mapped[datetime | None]


class JobFile(Base):
    """A file that a job stores; `loaded` becomes true in the transaction that stores its rows.

    `stored_rows` and `digest` are of the rows that were stored of it; null where rows have no digest.
    """

    __tablename__ = "job_file"

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    path: Mapped[str] = mapped_column(Text, primary_key=True)
    rows: Mapped[int] = mapped_column(BigInteger)
    bytes: Mapped[int] = mapped_column(BigInteger)
    loaded: Mapped[bool] = mapped_column(server_default=text("false"))
    stored_rows: Mapped[int | None] = mapped_column(BigInteger)
    digest: Mapped[Decimal | None] = mapped_column(Numeric)


class JobLine(Base):
    """A line of a job's log."""

    __tablename__ = "job_line"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    line: Mapped[str] = mapped_column(Text)


class JobReject(Base):
    """A row of a file that a job left out, or that ended it. `line` counts from 1: of a text file, its lines; of a
    Parquet file, its rows. Of a job that explains or scores features: one that failed; `file` is its source, `line` its
    index and `column` the cause."""

    __tablename__ = "job_reject"

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    file: Mapped[str] = mapped_column(Text, primary_key=True)
    line: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    column: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)


class JobBatch(Base):
    """A batch of requests to a language model whose answers are not stored yet.

    `name` is that by which the provider finds it, `batch_id` the provider's id: null where it is not known whether the
    batch was submitted. `model` and `max_tokens` are of its requests, `max_request_cost` the most that one of them can
    cost, in US dollars. `unanswered_since`: time of the first of the provider's missing answers in a row; null after an
    answer.
    """

    __tablename__ = "job_batch"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), index=True)
    batch_id: Mapped[str | None] = mapped_column(Text)
    model: Mapped[str] = mapped_column(Text)
    max_tokens: Mapped[int]
    max_request_cost: Mapped[float] = mapped_column(Double)
    unanswered_since: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class JobBatchRequest(Base):
    """A request of a batch; `key` is its hash, the key of its answer in `language_model_answer`."""

    __tablename__ = "job_batch_request"

    batch: Mapped[str] = mapped_column(ForeignKey("job_batch.name", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True, index=True)
