"""What Ray reads when it is imported. This module does not import it."""

import os
import secrets
from importlib.util import find_spec

from memicos_pipeline.config import ConfigError

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


def prepare_environment() -> None:
    """Set the variables of a local cluster, unless RAY_ADDRESS names another; before the first import of Ray.

    They stay for this process, as Ray reads some of them once.
    """
    if cluster_address() is None:
        os.environ.update(_LOCAL_CLUSTER)
