"""`make doc-inference-localhost` and similar commands: print the address of a server's interactive API page, and open
it.

    python -m memicos_cli.api_pages inference

Standard library only, so that it runs without `.venv`.
"""

from __future__ import annotations

import argparse
import os
import sys
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Sequence
from typing import NamedTuple

from memicos_cli import service_links

ANSWER_SECONDS = 5
DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")


class Page(NamedTuple):
    prefix: str
    """Prefix of the variables with the server's address, `<prefix>_HOST` and `<prefix>_PORT`."""
    port: int
    path: str
    start: str
    """The command that starts the server."""


PAGES = {
    "webapp": Page("MEMICOS", 3000, "/api-doc", "make webapp-localhost-dev"),
    "inference": Page("INFERENCE", 5002, "/docs", "make inference-localhost-dev MODEL_SOURCESET=gpt2-small.res-jb"),
    "autointerp": Page("AUTOINTERP", 5003, "/docs", "make autointerp-localhost-dev"),
}


def page_url(page: Page) -> str:
    """Address of the page on this machine."""
    host = os.environ.get(page.prefix + "_HOST") or "127.0.0.1"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    environment = service_links.without(os.environ)
    port = environment.get(page.prefix + "_PORT") or str(page.port)
    if not (port.isascii() and port.isdecimal()) or not 1 <= int(port) <= 65535:
        sys.exit(f"{page.prefix}_PORT={port} is not a port (1 to 65535)")
    number = int(port)
    return f"http://[{host}]:{number}{page.path}" if ":" in host else f"http://{host}:{number}{page.path}"


def problem(url: str) -> str | None:
    """Why the page cannot be shown, up to the command that starts the server; None where it answers with the page."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=ANSWER_SECONDS):
            return None
    except urllib.error.HTTPError as error:
        if error.code == 401:
            return f"{url} needs the secret of the server, which a browser does not send. Start it without a secret"
        return f"{url} is answered with status {error.code}: another program uses the port. Start the server"
    except OSError as error:
        return f"nothing answers at {url} ({getattr(error, 'reason', error)}). Start the server"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="api_pages", description="The interactive API page of a running server.")
    parser.add_argument("server", choices=sorted(PAGES))
    page = PAGES[parser.parse_args(arguments).server]
    url = page_url(page)
    reason = problem(url)
    if reason:
        print(f"{reason}: {page.start}", file=sys.stderr)
        return 1
    print(url)
    # without a display `webbrowser` would start a text browser in the terminal
    if sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in DISPLAYS):
        webbrowser.open(url)
    return 0


if __name__ == "__main__":
    sys.exit(main())
