"""Settings of the bodies of requests."""

from memicos_service.connections.settings import ConnectionSettings
from pydantic import Field


class BodySettings(ConnectionSettings):
    """How large bodies may be, and how fast they are read. Part of the webapp's settings."""

    body_bytes: int = Field(default=1_000_000, gt=0, description="Largest request body.")
    body_bytes_per_second: int = Field(
        default=1_000_000,
        gt=0,
        description="Bytes of request bodies that are read of one visitor (an address) in a second, after a burst of "
        "MEMICOS_BODY_BYTES; further ones wait. Parts of uploaded datasets are not limited.",
    )
