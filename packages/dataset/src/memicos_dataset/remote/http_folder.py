"""Folders on HTTP servers: pages with links, as many servers answer for a folder, and buckets with S3's listing."""

import re
from html import unescape
from typing import Any
from urllib.parse import quote, unquote, urlencode, urljoin, urlsplit

from fsspec.implementations.http import HTTPFileSystem

LISTING_BYTES = 16 << 20
"""Longest page of a listing."""
LISTING_ENTRIES = 1_000_000
"""Most files and folders directly in a folder."""
REFUSALS = (401, 403)
"""Statuses of a listing that is not permitted."""
# each stops at the next tag, so that the time is proportional to the page's length, whatever it has
_LINK = re.compile(r"""<a\s[^<>]*?href\s*=\s*["']([^"'#?]+)["']""", re.IGNORECASE)
_PREFIX = re.compile(r"<CommonPrefixes>\s*<Prefix>([^<]*)</Prefix>")
_BUCKET_HOST = re.compile(r"\.s3[.-][a-z0-9.-]*amazonaws\.com$")

Entry = dict[str, Any]


class HttpFolders(HTTPFileSystem):
    """fsspec's file system of HTTP, with listings of S3 buckets, whose sizes are kept for `info`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._listed_sizes: dict[str, int] = {}

    async def _ls_real(self, url: str, detail: bool = True, **options: Any) -> list[Any]:
        entries = await self._entries(url.rstrip("/") + "/")
        return entries if detail else sorted(entry["name"] for entry in entries)

    async def _info(self, url: str, **options: Any) -> Entry:
        if url in self._listed_sizes:
            return {"name": url, "size": self._listed_sizes[url], "type": "file"}
        return await super()._info(url, **options)

    async def _entries(self, url: str) -> list[Entry]:
        """Files and folders directly in a folder.

        Raises:
            FileNotFoundError: the server lists no such folder.
            PermissionError: it does not permit to list it.
        """
        parts = urlsplit(url)
        if not _BUCKET_HOST.search(parts.hostname or ""):
            linked = await self._linked(url)
            if linked:
                return linked
        origin, path = f"{parts.scheme}://{parts.netloc}/", unquote(parts.path).lstrip("/")
        bucket, _, rest = path.partition("/")
        status, found = await self._objects(origin, path)
        if found is None and bucket:
            status, found = await self._objects(f"{origin}{quote(bucket)}/", rest)
        if status in REFUSALS:
            raise PermissionError(f"{url}: the server does not permit to list the folder (status {status})")
        if not found:
            raise FileNotFoundError(url)
        return found

    async def _linked(self, url: str) -> list[Entry]:
        """What a page links to inside its own folder; empty where there is no page with links."""
        status, kind, content = await self._page(url)
        if status != 200 or kind not in ("text/html", ""):
            return []
        names = {name for link in _LINK.findall(content) if (name := _joined(url, unescape(link)))}
        inside = sorted(name for name in names if name.startswith(url) and name.rstrip("/") != url.rstrip("/"))
        return [
            {"name": name, "size": None, "type": "directory" if name.endswith("/") else "file"}
            for name in inside
            if "/" not in name[len(url) :].rstrip("/")
        ]

    async def _objects(self, bucket: str, prefix: str) -> tuple[int, list[Entry] | None]:
        """Status, and what S3's listing of a bucket has below a prefix, on all its pages; None where there is none."""
        entries: list[Entry] = []
        query = {"list-type": "2", "delimiter": "/", "encoding-type": "url", "prefix": prefix}
        while True:
            status, _, content = await self._page(f"{bucket}?{urlencode(query)}")
            if "<ListBucketResult" not in content:
                return status, None
            for part in content.split("<Contents>")[1:]:
                entry = part.partition("</Contents>")[0]
                key = _tag(entry, "Key")
                if key and key != quote(prefix):
                    name = bucket + quote(unquote(key.replace("+", " ")))
                    size = _size(entry)
                    if size is not None:
                        self._listed_sizes[name] = size
                    entries.append({"name": name, "size": size, "type": "file"})
            for found in _PREFIX.findall(content):
                name = bucket + quote(unquote(unescape(found).replace("+", " ")))
                entries.append({"name": name, "size": None, "type": "directory"})
            token = _tag(content, "NextContinuationToken")
            if not token:
                return status, entries
            if len(entries) > LISTING_ENTRIES or token == query.get("continuation-token"):
                raise OSError(
                    f"the listing of {bucket}{quote(prefix)} does not end, or has over {LISTING_ENTRIES:,} entries"
                )
            query["continuation-token"] = token

    async def _page(self, url: str) -> tuple[int, str, str]:
        """Status, content type and content of a page."""
        session = await self.set_session()
        async with session.get(self.encode_url(url), **self.kwargs) as response:
            if response.status >= 500 or response.status == 429:
                response.raise_for_status()
            content = await response.content.read(LISTING_BYTES)
            while len(content) < LISTING_BYTES and (more := await response.content.read(LISTING_BYTES - len(content))):
                content += more
            kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            return response.status, kind, content.decode("utf-8", "replace")


def _size(entry: str) -> int | None:
    """The size of an entry of a bucket's listing; None where it has none."""
    size = _tag(entry, "Size") or ""
    return int(size) if re.fullmatch("[0-9]{1,18}", size) else None


def _joined(url: str, link: str) -> str | None:
    """The address that a link on the page at `url` leads to; None where it is none."""
    try:
        return urljoin(url, link)
    except ValueError:
        return None


def _tag(content: str, name: str) -> str | None:
    match = re.search(rf"<{name}>([^<]*)</{name}>", content)
    return unescape(match[1]) if match else None
