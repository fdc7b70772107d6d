"""The oldest docker-compose that the stacks run with. Standard library only, for programs that run before anything is
installed."""

from __future__ import annotations

import re

OLDEST_COMPOSE = (1, 29)
"""The first docker-compose that waits for a service that ends (`service_completed_successfully`)."""


def refusal(version: str) -> str | None:
    """Why docker-compose of this version (`docker-compose version --short`) cannot be used; None where it can."""
    numbers = re.match(r"v?([0-9]+)\.([0-9]+)", version)
    if numbers and (int(numbers[1]), int(numbers[2])) >= OLDEST_COMPOSE:
        return None
    if not numbers:
        return "docker-compose does not run: install compose again (https://docs.docker.com/compose/install)"
    oldest = ".".join(map(str, OLDEST_COMPOSE))
    return f"docker-compose {version} is too old: {oldest} or newer is needed (https://docs.docker.com/compose/install)"
