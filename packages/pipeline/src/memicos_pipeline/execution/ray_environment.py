"""What Ray reads when it is imported. This module does not import it."""

import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from urllib.parse import urlsplit

from memicos_pipeline.config import ConfigError

CONNECT_SECONDS = 15.0
"""Time within which the cluster that RAY_ADDRESS names has to accept a connection, where WAIT_VARIABLE is not set."""
ANSWER_SECONDS = 10
"""Time within which it has to answer then. By Ray's own settings a wrong address takes more than five minutes."""
WAIT_VARIABLE = "RAY_gcs_server_port_wait_time_s"
"""Ray's variable: whole seconds to wait for a cluster that is starting; Ray tries to connect about once a second."""
_LOCAL_CLUSTER = {
    # nothing about the run is sent to anyone
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray listens on the loopback address where it is told that machines of this system form no clusters
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # only processes that know this token are served; by default Ray writes one into the home folder
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}


def require_ray(option: str) -> None:
    """
    Raises:
        ConfigError: Ray, which `option` names, is not installed.
    """
    # a folder `ray` in the working folder has no origin
    if not getattr(find_spec("ray"), "origin", None):
        raise ConfigError(
            f"{option}: Ray is not installed: pip install 'memicos[ray]', or in a checkout make generate-ray-install"
        )


def cluster_address() -> str | None:
    """The cluster that RAY_ADDRESS names; None for a local one of this run."""
    address = os.environ.get("RAY_ADDRESS", "")
    return None if address in ("", "local") else address


def check_cluster() -> None:
    """
    Raises:
        ConfigError: no process accepts connections at the address that RAY_ADDRESS names, or WAIT_VARIABLE is no time.
    """
    seconds = _wait_seconds()
    address = cluster_address()
    # `auto` is looked up in a file of this machine
    if address is None or address == "auto":
        return
    try:
        parts = urlsplit("//" + address.removeprefix("ray://"))
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if host is None or port is None:
        raise ConfigError(f"RAY_ADDRESS={address} is no host:port of a Ray cluster")
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host, port), timeout=max(1.0, deadline - time.monotonic())).close()
            return
        except OSError as error:
            if time.monotonic() >= deadline:
                raise ConfigError(no_cluster(address, error.strerror or str(error))) from None
        time.sleep(0.5)


def _wait_seconds() -> float:
    content = os.environ.get(WAIT_VARIABLE)
    if content is None:
        return CONNECT_SECONDS
    try:
        return int(content)
    except ValueError:
        raise ConfigError(f"{WAIT_VARIABLE}={content} is no whole number of seconds") from None


@contextmanager
def without_wait() -> Iterator[None]:
    """Within it Ray tries to connect once, unless WAIT_VARIABLE is set: `check_cluster` has waited for the cluster."""
    if WAIT_VARIABLE in os.environ:
        yield
        return
    os.environ[WAIT_VARIABLE] = "1"
    try:
        yield
    finally:
        os.environ.pop(WAIT_VARIABLE, None)


def no_cluster(address: str, reason: str) -> str:
    """The message where RAY_ADDRESS names no cluster that answers."""
    return (
        f"RAY_ADDRESS={address}: no Ray cluster answers there ({reason}): set it to the host:port that "
        "`ray start --head` printed, or unset it to use this machine alone"
    )


def prepare_environment() -> None:
    """Set the variables of a local cluster, or where RAY_ADDRESS names another, the time to wait for its answer; before
    the first import of Ray.

    They stay for this process, as Ray reads some of them once.
    """
    if cluster_address() is None:
        os.environ.update(_LOCAL_CLUSTER)
    else:
        os.environ.setdefault("RAY_py_gcs_connect_timeout_s", str(ANSWER_SECONDS))
