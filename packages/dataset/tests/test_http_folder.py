"""Listings of HTTP servers that are not as they should be."""

import asyncio

import pytest
from memicos_dataset.remote.http_folder import HttpFolders

URL = "http://host.example/a/"


def entries(monkeypatch: pytest.MonkeyPatch, kind: str, content: str) -> list[dict[str, object]]:
    folders = HttpFolders(asynchronous=True, skip_instance_cache=True)

    async def page(url: str) -> tuple[int, str, str]:
        return 200, kind, content

    monkeypatch.setattr(folders, "_page", page)
    return asyncio.run(folders._entries(URL))


@pytest.mark.parametrize("size", ["", "<Size></Size>", "<Size>many</Size>", "<Size>-1</Size>", "<Size>\u0663</Size>"])
def test_a_size_that_is_no_number_is_not_known(monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    listing = f"<ListBucketResult><Contents><Key>a/b</Key>{size}</Contents></ListBucketResult>"
    assert entries(monkeypatch, "application/xml", listing) == [{"name": URL + "b", "size": None, "type": "file"}]


def test_links_that_never_end_take_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time grew with the square of the page's size."""
    page = '<a href="b">' + "<a " * 1_000_000
    assert [entry["name"] for entry in entries(monkeypatch, "text/html", page)] == [URL + "b"]
