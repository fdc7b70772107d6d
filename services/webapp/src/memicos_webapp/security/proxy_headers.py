"""Forwarding headers of reverse proxies: X-Forwarded-For, -Proto, -Host and -Prefix (MEMICOS_TRUSTED_PROXIES).

They count only where the connection's peer is a trusted proxy: `ProxyHeaders` then puts the client's address, scheme,
host and prefix in place of the proxy's. From other peers they change nothing. `is_forwarded` says whether a request
has any such header from any sender: the request may come from another machine.
"""

import ipaddress
import re
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

ROOT_PATH_PATTERN = r"^(/[A-Za-z0-9._~-]+)*$"
PREFIX_KEY = "memicos_forwarded_prefix"
"""Key of the ASGI scope with the X-Forwarded-Prefix of a trusted proxy."""

_FORWARDING_HEADER = re.compile(
    r"(x-)?forwarded(-.+)?|via|cdn-loop"  # X-Forwarded-For, Forwarded, Forwarded-For
    r"|(x-)?original-.+"  # X-Original-Host, X-Original-Forwarded-For
    r"|(.+-)?(client|real|remote|user|connecting|originating|source)-?(ip|addr|address)"  # True-Client-IP, X-Real-IP
    r"|(x-envoy|cf|fastly|fly|x-azure|x-amz-cf|x-appengine|x-vercel|tailscale)-.+"  # proxies by their names
)
"""Names of headers that reverse proxies add, in lower case."""
_HOST = re.compile(r"^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$")


def parse_networks(text: str) -> list[Network]:
    """Addresses and networks in CIDR notation, separated by commas.

    Raises:
        ValueError: an item is neither; the message names it.
    """
    networks: list[Network] = []
    for item in filter(None, (item.strip() for item in text.split(","))):
        try:
            networks.append(ipaddress.ip_network(item))
        except ValueError as error:
            raise ValueError(
                f"{item!r} is neither an address nor a network in CIDR notation, such as 10.0.0.0/8 ({error})"
            ) from None
    return networks


def is_forwarded(headers: Headers) -> bool:
    """Whether a request has a header that reverse proxies add."""
    return any(_FORWARDING_HEADER.fullmatch(name) for name in headers)


def _address(text: str) -> Address | None:
    """An address, with or without a port; an IPv4 address in IPv6 notation as IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


class ProxyHeaders:
    """The application behind reverse proxies whose addresses are in `trusted`."""

    def __init__(self, app: ASGIApp, trusted: Sequence[Network]) -> None:
        self.app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._trusted and scope["type"] == "http":
            peer = _address(scope["client"][0]) if scope.get("client") else None
            if self._is_trusted(peer):
                scope = self._forwarded(scope)
        await self.app(scope, receive, send)

    def _is_trusted(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)

    def _client(self, values: list[str]) -> str | None:
        """The last address of X-Forwarded-For that is not a trusted proxy; clients can forge the earlier ones."""
        client = None
        for item in reversed(",".join(values).split(",")):
            address = _address(item)
            if address is None:
                break
            client = str(address)
            if not self._is_trusted(address):
                break
        return client

    def _forwarded(self, scope: Scope) -> Scope:
        headers = Headers(scope=scope)
        scope = dict(scope)
        if client := self._client(headers.getlist("x-forwarded-for")):
            scope["client"] = (client, 0)
        if (scheme := _last(headers, "x-forwarded-proto").lower()) in ("http", "https"):
            scope["scheme"] = scheme
        if _HOST.match(host := _last(headers, "x-forwarded-host")):
            other_headers = [(name, value) for name, value in scope["headers"] if name.lower() != b"host"]
            scope["headers"] = [(b"host", host.encode("ascii")), *other_headers]
        prefix = _last(headers, "x-forwarded-prefix").rstrip("/")
        if re.fullmatch(ROOT_PATH_PATTERN, prefix):
            scope[PREFIX_KEY] = prefix
        return scope


def _last(headers: Headers, name: str) -> str:
    """The value that the nearest proxy added."""
    return ",".join(headers.getlist(name)).rpartition(",")[2].strip()
