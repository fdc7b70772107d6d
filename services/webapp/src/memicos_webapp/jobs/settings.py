"""Settings of background jobs."""

from memicos_service.connections.settings import ConnectionSettings
from pydantic import Field


class JobSettings(ConnectionSettings):
    """Limits of background jobs and of the streams of their progress. Part of the webapp's settings."""

    job_attempts: int = Field(
        default=5,
        ge=1,
        description="A background job fails after so many attempts that ended by an unexpected error, or with the "
        "worker's process, without a further complete file.",
    )
    jobs_per_kind: int = Field(
        default=1,
        ge=1,
        le=100,
        description="Background jobs of one kind (such as import or explain) that run at the same time, in "
        "all workers of the database; jobs of different kinds run side by side.",
    )
    job_streams: int = Field(
        default=200,
        ge=1,
        description="Streams of the progress of jobs that may be open at the same time; the response to others is 503. "
        "All of them read jobs over one connection to the database.",
    )
    job_streams_per_visitor: int = Field(
        default=32,
        ge=1,
        description="The same for one visitor (an address); the response to others is 429.",
    )
