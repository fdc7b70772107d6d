"""Tables of uploads of datasets: files and parts that a client announced and sent."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from memicos_webapp.database.base import Base


class DatasetUpload(Base):
    """An upload of a dataset by an account. It is open until `job_id` names the import that it became.

    `fingerprint` is a hash of names, files, options and the size of parts: the same upload is continued.
    """

    __tablename__ = "dataset_upload"
    __table_args__ = (
        # one open upload of a dataset, whatever the number of clients
        Index(None, "account_id", "fingerprint", unique=True, postgresql_where=text("job_id IS NULL")),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(Text)
    fingerprint: Mapped[str] = mapped_column(Text)
    options: Mapped[dict[str, Any]] = mapped_column(JSONB)
    bytes: Mapped[int] = mapped_column(BigInteger)
    part_bytes: Mapped[int]
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class DatasetUploadFile(Base):
    """A file of an upload; `number` counts from 0."""

    __tablename__ = "dataset_upload_file"

    upload_id: Mapped[str] = mapped_column(ForeignKey("dataset_upload.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    path: Mapped[str] = mapped_column(Text)
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(Text)


class DatasetUploadPart(Base):
    """A part of a file that is stored in the folder of uploads, and whose sha256 was checked."""

    __tablename__ = "dataset_upload_part"

    upload_id: Mapped[str] = mapped_column(ForeignKey("dataset_upload.id", ondelete="CASCADE"), primary_key=True)
    file: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    bytes: Mapped[int] = mapped_column(BigInteger)
