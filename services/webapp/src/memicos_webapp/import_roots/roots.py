"""The setting MEMICOS_IMPORT_ROOTS: what the server may import from."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from memicos_webapp.import_roots.addresses import Network, is_permitted, parse_address

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
PORTS = {"http": 80, "https": 443}
_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@dataclass(frozen=True)
class RootUrl:
    """A URL below which everything may be read: scheme, host with port, and the parts of its path."""

    text: str
    scheme: str
    netloc: str
    parts: tuple[str, ...]

    @property
    def host(self) -> str:
        return urlsplit(self.text).hostname or ""


@dataclass(frozen=True)
class Roots:
    """Places that may be read, and networks, beyond public addresses, that their names may have addresses in."""

    urls: tuple[RootUrl, ...] = ()
    folders: tuple[Path, ...] = ()
    networks: tuple[Network, ...] = ()

    def __str__(self) -> str:
        return ", ".join([*(root.text for root in self.urls), *map(str, self.folders)]) or "none"

    def locations(self) -> list[str]:
        """The roots, as an import takes them."""
        return [*(root.text for root in self.urls), *map(str, self.folders)]

    def check(self, place: Path | str) -> None:
        """
        Raises:
            PermissionError: the file or folder is in none of the roots.
        """
        if isinstance(place, Path):
            try:
                # after links, which may lead out of a root
                resolved = place.resolve()
            except RuntimeError as error:
                raise PermissionError(f"{place} has a link that leads to itself") from error
            if not place.is_absolute() or not any(resolved.is_relative_to(root.resolve()) for root in self.folders):
                raise PermissionError(f"{place} is in none of the folders of MEMICOS_IMPORT_ROOTS")
            return
        wanted = _parse_url(place)
        if not any(_is_below(wanted, root) for root in self.urls):
            raise PermissionError(f"{place} is in none of the roots of MEMICOS_IMPORT_ROOTS ({self})")

    def check_request(self, url: str) -> None:
        """A request for a file or for a listing; that of a bucket is a query at its top."""
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        if "list-type" in query:
            prefix = query.get("prefix", [""])[0]
            url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/{prefix}"
        self.check(url.partition("?")[0])

    def check_address(self, host: str, address: str) -> None:
        parsed = parse_address(address)
        if parsed is None or not is_permitted(parsed, [*self.networks, *self._named(host)]):
            raise PermissionError(
                f"{host} has the address {address}, which is not public; name its network in MEMICOS_IMPORT_ROOTS "
                "to import from there"
            )

    def _named(self, host: str) -> Sequence[Network]:
        """Networks that a host names itself, by its address or as localhost."""
        if host.strip("[]") not in self._hosts:
            return ()
        address = parse_address(host)
        if address is not None:
            return (ip_network(address),)
        return _LOOPBACK if host == "localhost" or host.endswith(".localhost") else ()

    @cached_property
    def _hosts(self) -> set[str]:
        return {root.host for root in self.urls}


def parse_roots(setting: str) -> Roots:
    """The roots of a setting: URLs, absolute folders and networks (CIDR), separated by commas.

    Raises:
        ValueError: an entry is none of them.
    """
    urls: list[RootUrl] = []
    folders: list[Path] = []
    networks: list[Network] = []
    for entry in filter(None, (part.strip() for part in setting.split(","))):
        if entry.startswith(("/", "file:///")):
            folders.append(Path(entry.removeprefix("file://")))
        elif _URL.match(entry):
            try:
                urls.append(_parse_url(entry.rstrip("/") if entry.count("/") > 2 else entry))
            except PermissionError as error:
                raise ValueError(str(error)) from error
        else:
            try:
                networks.append(ip_network(entry))
            except ValueError:
                raise ValueError(
                    f"{entry!r} is neither a URL such as https://host/path, nor an absolute folder, nor a network "
                    "such as 192.168.0.0/16"
                ) from None
    return Roots(tuple(urls), tuple(folders), tuple(networks))


def _parse_url(url: str) -> RootUrl:
    """
    Raises:
        PermissionError: the URL has parts that could hide what it leads to.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise PermissionError(f"{url[:200]!r} is not a URL: {error}") from None
    scheme = parts.scheme.lower()
    if not scheme or not parts.hostname or parts.username is not None or parts.password is not None:
        raise PermissionError(f"{url[:200]!r} is not a URL of the form scheme://host/path, without user and password")
    if parts.query or parts.fragment:
        raise PermissionError(f"{url[:200]!r} has a query or a fragment, which locations do not have")
    path = unquote(parts.path)
    pieces = tuple(piece for piece in path.split("/") if piece)
    if ".." in pieces or "." in pieces or "\\" in path or "%" in path or any(ord(c) < 32 for c in path):
        raise PermissionError(f"{url[:200]!r} has a path that is not plain")
    netloc = parts.hostname.lower() if port in (None, PORTS.get(scheme)) else f"{parts.hostname.lower()}:{port}"
    return RootUrl(url, scheme, netloc, pieces)


def _is_below(wanted: RootUrl, root: RootUrl) -> bool:
    same = (wanted.scheme, wanted.netloc) == (root.scheme, root.netloc)
    return same and wanted.parts[: len(root.parts)] == root.parts
