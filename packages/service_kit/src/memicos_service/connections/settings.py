"""Settings of a server's connections, and the limit of open files that they depend on."""

import logging
import resource
import sys
from typing import Any

from pydantic import Field, field_validator

from memicos_service.settings import empty_is_unset, variable
from memicos_service.variable_names import ServiceSettings

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 1000
"""Largest number of connections where no setting names one."""
RESERVED_FILES = 256
"""Open files for other purposes than connections of clients: the database, other servers, files of models."""
SYSTEM_OPEN_FILES = 10_240
"""Limit of open files to set where the hard limit is infinite: macOS refuses more."""


class ConnectionSettings(ServiceSettings):
    """Settings of a server's connections, for the settings class of a service to inherit."""

    max_connections: int | None = Field(
        default=None,
        ge=1,
        description="Largest number of open connections. A further one replaces a connection that has no complete "
        "request; where every request is complete and in progress, the response is 503. Unset: 1000, but at most the "
        "limit of open files (ulimit -n, which the server raises to the hard limit) less 256, or half of a limit below "
        "512.",
    )
    header_seconds: float = Field(
        default=10,
        gt=0,
        description="Longest time until the headers of a request are complete, from the start of the connection or "
        "from the first byte of a further request. Then the connection is closed.",
    )
    body_seconds: float = Field(
        default=60,
        gt=0,
        description="Longest time until the body of a request is complete, from the end of its headers. Then the "
        "connection is closed.",
    )
    idle_seconds: float = Field(
        default=5, gt=0, description="How long a connection stays open after a response without another request."
    )
    send_seconds: float = Field(
        default=60,
        gt=0,
        description="Longest time that a client reads nothing of a response. Then the connection is closed, and the "
        "work on the request ends.",
    )
    backlog: int = Field(
        default=64,
        ge=1,
        description="Largest number of connections that wait to be accepted by the server, which accepts them at once; "
        "each needs an open file beyond those of open connections.",
    )

    @field_validator("max_connections", mode="before")
    @classmethod
    def _empty_number_is_unset(cls, value: Any) -> Any:
        return empty_is_unset(value)


def limits_or_exit(program: str, settings: ConnectionSettings) -> ConnectionSettings:
    """The settings with a number of connections for this process, whose limit of open files is raised first.

    Ends the program with one line on standard error where the settings need more open files than it may have.
    """
    open_files = raise_file_limit()
    connections = settings.max_connections or default_connections(open_files)
    if connections >= open_files:
        name = variable(type(settings), "max_connections")
        sys.exit(f"{program}: {name}: {connections} connections need more than {open_files} open files (ulimit -Hn).")
    return settings.model_copy(update={"max_connections": connections})


def raise_file_limit() -> int:
    """Raise the limit of open files of this process as far as it may, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = hard
    if hard == resource.RLIM_INFINITY:
        target = soft if soft == resource.RLIM_INFINITY else max(soft, SYSTEM_OPEN_FILES)
    if target != soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
        except (ValueError, OSError) as error:
            log.warning("the limit of open files stays at %d: %s", soft, error)
            target = soft
    return sys.maxsize if target == resource.RLIM_INFINITY else target


def default_connections(open_files: int) -> int:
    """Largest number of connections for a limit of open files, where no setting names one."""
    return min(MAX_CONNECTIONS, max(open_files - RESERVED_FILES, open_files // 2))
