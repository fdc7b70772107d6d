"""HTTP for the server's own fetches: each name is looked up once, its addresses are checked and kept for all later
connections, and every request, also after a redirect, has to be permitted."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from memicos_webapp.import_roots.addresses import parse_address

CheckUrl = Callable[[str], None]
"""Raises PermissionError where a URL may not be requested."""
CheckAddress = Callable[[str, str], None]
"""Raises PermissionError where a host (first) may not be reached at an address (second)."""


class RefusedRequestError(aiohttp.ClientError):
    """A request to an address that may not be requested."""


class PinnedResolver(AbstractResolver):
    """Looks up each name once; a later change of the name has no effect."""

    def __init__(self, check: CheckAddress) -> None:
        self._check = check
        self._lookups: dict[tuple[str, int], asyncio.Task[list[ResolveResult]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        key = (host, port)
        if key not in self._lookups:
            self._lookups[key] = asyncio.ensure_future(self._look_up(host, port))
        return await asyncio.shield(self._lookups[key])

    async def _look_up(self, host: str, port: int) -> list[ResolveResult]:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        results: list[ResolveResult] = []
        for family, _, protocol, _, address in found:
            try:
                self._check(host, str(address[0]))
            except PermissionError as error:
                # of an OSError aiohttp would drop the message
                raise RefusedRequestError(str(error)) from error
            results.append(
                ResolveResult(
                    hostname=host,
                    host=str(address[0]),
                    port=port,
                    family=family,
                    proto=protocol,
                    flags=socket.AI_NUMERICHOST,
                )
            )
        return results

    async def close(self) -> None:
        pass


def client_factory(check_url: CheckUrl, check_address: CheckAddress) -> Callable[..., Any]:
    """A function that makes clients, as fsspec's HTTP file system calls it."""

    async def check(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        # also called for each redirect
        try:
            check_url(str(request.url))
            host = request.url.host or ""
            # of digits such as 2130706433 or 127.1 aiohttp looks up no name either; they are refused
            if parse_address(host) is not None or host.replace(".", "").isdigit():
                check_address(host, host)
        except PermissionError as error:
            raise RefusedRequestError(str(error)) from error
        return await handler(request)

    async def make(**options: Any) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(resolver=PinnedResolver(check_address))
        # no proxy of the environment, which would look up names itself
        return aiohttp.ClientSession(connector=connector, middlewares=(check,), trust_env=False, **options)

    return make
