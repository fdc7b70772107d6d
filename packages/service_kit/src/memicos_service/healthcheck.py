"""`python -m memicos_service.healthcheck URL`: exit status 0 where a service is healthy, for containers.

Healthy is a response of status 200 whose JSON has no `state` "failed": a model that is loading is no reason to restart.
"""

import json
import sys
from http.client import HTTPException
from urllib.error import URLError
from urllib.request import urlopen

SECONDS = 4
"""Longest wait for the response."""


def check(url: str) -> str | None:
    """Why the service at `url` is not healthy, or None."""
    try:
        with urlopen(url, timeout=SECONDS) as response:
            body = json.load(response)
    except URLError as error:
        return f"{url}: {error.reason if type(error) is URLError else error}"
    except (OSError, HTTPException, ValueError) as error:
        return f"{url}: {error}"
    if isinstance(body, dict) and body.get("state") == "failed":
        return str(body.get("progress", "failed"))
    return None


if __name__ == "__main__":
    sys.exit(check(sys.argv[1]))
