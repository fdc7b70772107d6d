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


def check(url: str) -> tuple[bool, str]:
    """Whether the service at `url` is healthy, and one line: the state that it reports, or the error."""
    try:
        with urlopen(url, timeout=SECONDS) as response:
            body = json.load(response)
    except URLError as error:
        return False, f"{url}: {error.reason if type(error) is URLError else error}"
    except (OSError, HTTPException, ValueError) as error:
        return False, f"{url}: {error}"
    if not isinstance(body, dict):
        return False, f"{url}: the response is not a JSON object"
    state = str(body.get("state", body.get("status", "")))
    progress = body.get("progress")
    return state != "failed", state if state == "ready" or not progress else f"{state}: {progress}"


def main() -> None:
    healthy, line = check(sys.argv[1])
    sys.stdout.write(f"{line}\n")
    sys.exit(0 if healthy else 1)


if __name__ == "__main__":
    main()
