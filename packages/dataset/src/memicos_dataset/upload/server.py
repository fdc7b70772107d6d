"""Requests to a memicos server, repeated while it does not answer."""

import asyncio
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from memicos_dataset.upload.errors import RefusedError, UploadError, shown

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 15.0
CONNECT_SECONDS = 20
ANSWER_SECONDS = 120
"""Longest wait for an answer, after the request was sent, and for its body."""
SEND_SECONDS = 3600
"""Longest time in which a request is sent."""
ANSWER_BYTES = 64_000_000
"""Largest answer; the state of an upload of 200 GB in 5,000 files has about 3 MB."""
COMPLETION_SECONDS = 3600
"""The same for the answer to a completion: the server reads all files before it."""
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
"""Statuses of a server or proxy that may answer later."""
_REASONS = {
    408: "the line is too slow for so many parts at the same time; give a smaller --parallel",
    413: "a proxy in front of the server takes no body of this size",
}
"""Reasons for statuses whose answer has none, as those of connection limits and of proxies."""
KEY_HEADER = "X-Api-Key"
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass
class Server:
    """A server, its API key, and how long one request is repeated while the server does not answer."""

    url: str
    session: aiohttp.ClientSession
    patience_seconds: float

    async def post(self, path: str, body: Mapping[str, Any], answer_seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """The answer to a JSON request, for which it waits so long.

        Raises:
            RefusedError: the server refused it.
            UploadError: it did not answer within the patience, or is no server of memicos.
        """
        return await self._request("POST", path, json=body, timeout=_timeout(answer_seconds))

    async def put(self, path: str, content: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        """The answer to a request with bytes. Raises as `post`."""
        return await self._request(
            "PUT", path, data=content, headers={**headers, "Content-Type": "application/octet-stream"}
        )

    async def _request(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        end, wait = time.monotonic() + self.patience_seconds, FIRST_WAIT_SECONDS
        while True:
            try:
                return await self._once(method, path, **arguments)
            except RefusedError as error:
                if error.status not in _TRY_AGAIN or time.monotonic() + wait > end:
                    raise
            except (aiohttp.ClientConnectorCertificateError, aiohttp.InvalidURL, ssl.SSLError) as error:
                raise UploadError(f"{self.url}: {shown(error)}") from error
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if time.monotonic() + wait > end:
                    reason = shown(error) or type(error).__name__
                    raise UploadError(
                        f"{self.url} did not answer for {self.patience_seconds:g} s ({reason}). Run the same command "
                        "again: it goes on where it was."
                    ) from error
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)

    async def _once(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        # a redirect would send the key to another address
        async with self.session.request(method, self.url + path, allow_redirects=False, **arguments) as response:
            if 300 <= response.status < 400:
                target = shown(response.headers.get("Location", "another address"))
                raise UploadError(f"{self.url} redirects to {target}: give that address to --to.")
            body = await self._body(response, path)
            if response.status != 200:
                message = body.get("error") if isinstance(body, dict) else None
                reason = self._without_key(shown(message)) if message else _REASONS.get(response.status, "no reason")
                if response.status == 404 and not message:
                    raise self.unknown(path, "has status 404")
                raise RefusedError(response.status, f"{self.url} answered {response.status}: {reason}")
            if not isinstance(body, dict):
                raise self.unknown(path, "is no JSON object")
            return body

    async def _body(self, response: aiohttp.ClientResponse, path: str) -> object:
        """The answer's JSON, None where it is none. Raises UploadError where it is too large."""
        content = bytearray()
        # aiohttp's time-out begins again with each byte
        async with asyncio.timeout(ANSWER_SECONDS):
            async for chunk in response.content.iter_any():
                content += chunk
                if len(content) > ANSWER_BYTES:
                    raise self.unknown(path, f"has more than {ANSWER_BYTES:,} bytes")
        try:
            return json.loads(content)
        # RecursionError: JSON of many levels
        except (ValueError, RecursionError):
            return None

    def unknown(self, path: str, reason: str) -> UploadError:
        """The error where the answer to `path` is none of a server of memicos."""
        return UploadError(f"{self.url} is no server of memicos: its answer to {path} {reason}.")

    def _without_key(self, text: str) -> str:
        key = self.session.headers.get(KEY_HEADER)
        return text.replace(key, "[the key]") if key else text


def check_address(url: str, has_key: bool, allow_http: bool) -> str:
    """The server's address without a slash at its end.

    Raises:
        UploadError: it is none, or the key would be sent without encryption.
    """
    try:
        parts = urlsplit(url)
        # reading the port checks it
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise UploadError(f"{url!r} is no address of a server, such as https://sae.example.") from None
    if not is_address or "@" in parts.netloc or parts.query or parts.fragment:
        # not shown: it may have a password
        shown = "an address with a user or password" if "@" in parts.netloc else repr(url)
        raise UploadError(f"{shown} is no address of a server, such as https://sae.example.")
    if parts.scheme == "http" and has_key and not allow_http and parts.hostname not in _LOOPBACK:
        raise UploadError(
            f"{url} would get the API key without encryption: use https, or --allow-http in a network that you trust."
        )
    return url.rstrip("/")


def new_session(url: str, key: str | None) -> aiohttp.ClientSession:
    """A session that sends the API key to the server at `url`; proxies are those of the environment, except for this
    machine: a proxy would get the key without encryption."""
    # answers that are compressed have no limit of their size
    headers = {"Accept-Encoding": "identity"} | ({KEY_HEADER: key} if key else {})
    use_proxies = urlsplit(url).hostname not in _LOOPBACK
    return aiohttp.ClientSession(
        headers=headers, timeout=_timeout(ANSWER_SECONDS), trust_env=use_proxies, auto_decompress=False
    )


def _timeout(answer_seconds: float) -> aiohttp.ClientTimeout:
    total = SEND_SECONDS + answer_seconds
    return aiohttp.ClientTimeout(total=total, sock_connect=CONNECT_SECONDS, sock_read=answer_seconds)
