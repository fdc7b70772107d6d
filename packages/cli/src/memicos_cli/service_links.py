"""Ports in the process environment that an orchestrator set to the address of a service, such as `tcp://10.0.0.7:5002`.

They count as unset, as in the servers (`memicos_service.variable_names`). Standard library only, for programs that run
before anything is installed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

PORTS = ("MEMICOS_PORT", "INFERENCE_PORT", "AUTOINTERP_PORT")
_SERVICE_LINK = re.compile(r"(?:tcp|udp|sctp)://\S+", re.IGNORECASE)


def names(environment: Mapping[str, str]) -> list[str]:
    """Port variables of `environment` that hold the address of a service."""
    return [name for name in PORTS if _SERVICE_LINK.fullmatch(environment.get(name, "").strip())]


def without(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` without these variables."""
    ignored = names(environment)
    return {name: value for name, value in environment.items() if name not in ignored}


def warning(environment: Mapping[str, str]) -> str | None:
    """One line that names the ignored ports; None if there are none."""
    ignored = names(environment)
    if not ignored:
        return None
    return f"{', '.join(ignored)} in the environment: ignored, the address of a service (tcp://…) is not a port"
