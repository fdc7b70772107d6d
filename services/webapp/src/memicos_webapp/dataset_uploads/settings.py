"""Settings of uploads of datasets."""

from pathlib import Path

from memicos_service.connections.settings import ConnectionSettings
from pydantic import Field


class UploadSettings(ConnectionSettings):
    """Where uploads are kept, and their limits. Part of the webapp's settings."""

    upload_folder: Path | None = Field(
        default=None,
        description="Folder where uploaded datasets are kept until they are imported; webapp and worker need the same "
        "one. Empty: `uploads` in MEMICOS_DATA.",
    )
    upload_part_bytes: int = Field(
        default=8_000_000, ge=1, le=1_000_000_000, description="Size of the parts in which files are uploaded."
    )
    upload_parts_at_once: int = Field(
        default=16, ge=1, description="Parts that are received at the same time; others wait."
    )
    upload_completions_at_once: int = Field(
        default=2,
        ge=1,
        description="Uploads whose files are checked at the same time when they are completed; others wait.",
    )
    upload_bytes: int = Field(default=200_000_000_000, ge=1, description="Largest dataset that may be uploaded.")
    upload_files: int = Field(default=5000, ge=1, description="Most files of an uploaded dataset.")
    uploads_per_account: int = Field(
        default=5, ge=1, description="Uploads that an account may have open at the same time."
    )
    upload_free_bytes: int = Field(
        default=1_000_000_000,
        ge=0,
        description="Space that stays free in the folder of uploads: an upload that would need it is refused.",
    )
    upload_days: float = Field(
        default=7,
        gt=0,
        description="An upload that nobody continued for so long is deleted, and so are the files of an import that "
        "failed so long ago. Those of a complete import are deleted by the next clean-up "
        "(MEMICOS_CLEANUP_EVERY_SECONDS).",
    )
