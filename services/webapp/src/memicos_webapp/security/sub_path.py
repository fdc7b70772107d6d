"""Serving below a path of a site, such as /memicos/ behind a reverse proxy (MEMICOS_ROOT_PATH, X-Forwarded-Prefix).

Only this module handles the prefix. `SubPath` removes it from a request's path and adds it to the addresses in response
headers; `prefix_links` adds it to those in a rendered page.
"""

import re

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memicos_webapp.security.proxy_headers import PREFIX_KEY

LINK_HEADERS = ("location", "hx-location", "hx-push-url", "hx-redirect", "hx-replace-url")
_LINK = re.compile(r'(\s(?:href|src|action|formaction|poster|hx-(?:get|post|put|patch|delete|push-url))=")/(?!/)')
"""A root-relative address in an attribute. Templates escape quotation marks in texts, so no text matches."""
_COOKIE_PATH = re.compile(r"(;\s*path=)/", re.IGNORECASE)


def prefix_links(html: str, root_path: str) -> str:
    """A rendered page with `root_path` in front of its own addresses; addresses of other sites stay."""
    return _LINK.sub(rf"\g<1>{root_path}/", html) if root_path else html


class SubPath:
    """The application below `root_path`, or else below the prefix that a trusted proxy names.

    A proxy may pass the path whole or without the prefix.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self.app = app
        self._root = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        root = self._root or scope.get(PREFIX_KEY, "")
        if scope["type"] != "http" or not root:
            return await self.app(scope, receive, send)
        # `app_root_path` alone is what Starlette's `base_url` reads: routes and mounts see no prefix
        inner = {**scope, "path": _without_prefix(scope["path"], root), "app_root_path": root}

        async def send_prefixed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name in LINK_HEADERS:
                    value = headers.get(name, "")
                    if value.startswith("/") and not value.startswith("//"):
                        headers[name] = root + value
                message["headers"] = [
                    (name, _cookie(value, root) if name.lower() == b"set-cookie" else value)
                    for name, value in message["headers"]
                ]
            await send(message)

        await self.app(inner, receive, send_prefixed)


def _without_prefix(path: str, root: str) -> str:
    if path == root or path.startswith(root + "/"):
        return path[len(root) :] or "/"
    return path


def _cookie(value: bytes, root: str) -> bytes:
    return _COOKIE_PATH.sub(rf"\g<1>{root}/", value.decode("latin-1")).encode("latin-1")
