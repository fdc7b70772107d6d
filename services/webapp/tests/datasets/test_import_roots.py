"""What the server may fetch: roots, addresses that names have, redirects. With a local HTTP server."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from memicos_dataset.folder import Folder
from memicos_dataset.remote.http_folder import HttpFolders
from memicos_testing.webapp.database import connected, fetch
from memicos_testing.webapp.imports.dataset_imports import until
from memicos_testing.webapp.jobs.job_worker import worker
from memicos_webapp.datasets.running_import import ImportOptions
from memicos_webapp.datasets.service import add_import, import_kind
from memicos_webapp.import_roots.access import permitted_folder
from memicos_webapp.import_roots.addresses import is_permitted, parse_address
from memicos_webapp.import_roots.roots import Roots, parse_roots
from memicos_webapp.settings import Settings
from pydantic import ValidationError

FILES = {f"v1/model/1-res/features/batch-{number}.jsonl.gz": b"x" * number for number in range(7)}
PAGE = 3
"""Entries of a page of the bucket's listing."""


class Bucket(BaseHTTPRequestHandler):
    """A server with S3's listing in pages, files, redirects and a list of the hosts that were asked for."""

    hosts: list[str]
    paths: list[str]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.hosts.append(self.headers["Host"])
        self.paths.append(self.path)
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", parts.path.removeprefix("/to/").replace(":/", "://", 1))
            self.end_headers()
        elif "list-type" in query:
            self.answer(self.listing(query).encode(), "application/xml")
        elif parts.path.lstrip("/") in FILES:
            self.answer(FILES[parts.path.lstrip("/")], "application/gzip")
        else:
            self.send_error(404)

    do_HEAD = do_GET

    def listing(self, query: dict[str, str]) -> str:
        prefix, start = query["prefix"], int(query.get("continuation-token", 0))
        inside = sorted(name for name in FILES if name.startswith(prefix))
        folders = sorted(
            {prefix + name[len(prefix) :].split("/")[0] + "/" for name in inside if "/" in name[len(prefix) :]}
        )
        keys = [name for name in inside if "/" not in name[len(prefix) :]]
        page = keys[start : start + PAGE]
        more = f"<NextContinuationToken>{start + PAGE}</NextContinuationToken>" if keys[start + PAGE :] else ""
        contents = "".join(f"<Contents><Key>{quote(k)}</Key><Size>{len(FILES[k])}</Size></Contents>" for k in page)
        prefixes = "".join(f"<CommonPrefixes><Prefix>{quote(f)}</Prefix></CommonPrefixes>" for f in folders)
        return f"<?xml version='1.0'?><ListBucketResult>{more}{contents}{prefixes}</ListBucketResult>"

    def answer(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


@contextmanager
def bucket(paths: list[str] | None = None) -> Iterator[tuple[int, list[str]]]:
    """Its port, and the hosts that requests were for; `paths` gets those of requests."""
    hosts: list[str] = []
    paths = [] if paths is None else paths
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Bucket,), {"hosts": hosts, "paths": paths})) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1], hosts
        finally:
            server.shutdown()
            thread.join()


def names_to(monkeypatch: pytest.MonkeyPatch, answers: list[str]) -> list[str]:
    """Let `bucket.example` have each of `answers` as its address, one a lookup; returns the names looked up."""
    looked_up: list[str] = []
    real = socket.getaddrinfo

    def lookup(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host == "bucket.example":
            looked_up.append(host)
            host = answers[min(len(looked_up), len(answers)) - 1]
        return real(host, port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return looked_up


def test_a_bucket_is_listed_completely_and_its_files_are_read() -> None:
    with bucket() as (port, _):
        root = f"http://127.0.0.1:{port}/v1"
        folder = permitted_folder(parse_roots(root), f"{root}/model")
        assert folder.names() == ["1-res"]
        features = folder / "1-res/features"
        assert features.names() == [f"batch-{number}.jsonl.gz" for number in range(7)]
        assert [features.size(name) for name in features.names()] == list(range(7))
        assert features.read("batch-5.jsonl.gz") == b"x" * 5
        assert not features.exists("batch-9.jsonl.gz")


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{port}/other",
        "http://127.0.0.1:{port}/v12/model",
        "http://127.0.0.1:{port}/v1/../other",
        "http://127.0.0.1:{port}/v1/%2e%2e/other",
        "http://127.0.0.1:{port}/v1/%252e%252e/other",
        "http://127.0.0.1:{port}/v1/x?y=z",
        "http://user@127.0.0.1:{port}/v1/model",
        "http://127.0.0.1/v1/model",
        "https://127.0.0.1:{port}/v1/model",
        "http://localhost:{port}/v1/model",
        "http://127.0.0.1:{port}@evil.example/v1",
        "s3://v1/model",
        "file:///etc",
        "/etc",
        "v1/model",
    ],
)
def test_locations_outside_of_the_roots_are_refused(location: str) -> None:
    with bucket() as (port, hosts):
        with pytest.raises(PermissionError):
            permitted_folder(parse_roots(f"http://127.0.0.1:{port}/v1"), location.format(port=port))
        assert hosts == []


def test_folders_are_read_only_below_a_root_also_through_links(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "file").write_text("text")
    (inside / "link").symlink_to(outside)
    roots = parse_roots(str(inside))
    assert permitted_folder(roots, str(inside)).read("file") == b"text"
    for path in ("link/file", "../out/file"):
        with pytest.raises(PermissionError):
            permitted_folder(roots, str(inside)).read(path)
    with pytest.raises(PermissionError):
        permitted_folder(roots, str(inside / "link"))
    with pytest.raises(PermissionError):
        permitted_folder(roots, str(tmp_path / "in2"))
    (inside / "loop").symlink_to(inside / "loop")
    with pytest.raises(PermissionError):
        permitted_folder(roots, str(inside / "loop"))


def test_a_listing_that_does_not_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def page(self: HttpFolders, url: str) -> tuple[int, str, str]:
        content = "<ListBucketResult><NextContinuationToken>1</NextContinuationToken></ListBucketResult>"
        return 200, "application/xml", content

    monkeypatch.setattr(HttpFolders, "_page", page)
    with pytest.raises(OSError, match="does not end"):
        Folder.of("http://127.0.0.1:1/v1").names()


def test_a_name_is_looked_up_once_and_its_address_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = names_to(monkeypatch, ["127.0.0.1", "203.0.113.7"])
    with bucket() as (port, hosts):
        root = f"http://bucket.example:{port}/v1"
        features = permitted_folder(parse_roots(f"{root}, 127.0.0.0/8"), f"{root}/model/1-res/features")
        assert len(features.names()) == 7
        assert features.read("batch-3.jsonl.gz") == b"xxx"
        # the second address answers nothing
        assert looked_up == ["bucket.example"] and set(hosts) == {f"bucket.example:{port}"}


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "::1", "0.0.0.0"])
def test_a_name_with_a_private_address_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    names_to(monkeypatch, [address])
    with bucket() as (port, hosts):
        root = f"http://bucket.example:{port}/v1"
        with pytest.raises(OSError, match="which is not public; name its network in MEMICOS_IMPORT_ROOTS"):
            permitted_folder(parse_roots(root), root).read("model/1-res/features/batch-1.jsonl.gz")
        assert hosts == []


@pytest.mark.parametrize(
    "target", ["http:/127.0.0.1:{port}/secret", "http:/localhost:{port}/v1/x", "http:/10.0.0.1/v1"]
)
def test_redirects_are_checked(target: str) -> None:
    paths: list[str] = []
    with bucket(paths) as (port, _):
        root = f"http://127.0.0.1:{port}"
        roots = parse_roots(f"{root}/to, {root}/v1")
        allowed = f"to/http:/127.0.0.1:{port}/v1/model/1-res/features"
        assert permitted_folder(roots, f"{root}/{allowed}").read("batch-2.jsonl.gz") == b"xx"
        assert paths[-1] == "/v1/model/1-res/features/batch-2.jsonl.gz"
        paths.clear()
        with pytest.raises(OSError, match="is in none of the roots"):
            permitted_folder(roots, f"{root}/to").read(target.format(port=port))
        # the redirect was not followed
        assert paths and all(path.startswith("/to/") for path in paths)


@pytest.mark.parametrize(
    ("address", "permitted"),
    [
        ("93.184.216.34", True),
        ("2606:4700::1", True),
        ("127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("192.168.5.5", True),
    ],
)
def test_public_addresses_and_named_networks_are_permitted(address: str, permitted: bool) -> None:
    parsed = parse_address(address)
    assert parsed is not None
    assert is_permitted(parsed, parse_roots("192.168.5.0/24").networks) is permitted


@pytest.mark.parametrize("setting", ["data", "http://", "https://user:word@host/x", "https://host/../x", "300.0.0.0/8"])
def test_a_bad_setting_is_refused(setting: str) -> None:
    with pytest.raises(ValidationError, match="import_roots"):
        Settings(_env_file=None, import_roots=setting)  # pyright: ignore[reportCallIssue]


def test_by_default_only_the_public_bucket_may_be_read() -> None:
    roots = parse_roots(Settings.model_fields["import_roots"].default)
    assert isinstance(roots, Roots) and roots.folders == () and roots.networks == ()
    assert [root.scheme for root in roots.urls] == ["https"]


async def test_an_import_of_a_server_reads_its_roots_only(fresh_url: str, small_dataset: Path, tmp_path: Path) -> None:
    inside, outside = str(small_dataset), str(tmp_path)
    # the roots that the import was added with, and those of the worker
    for roots, of_worker, state in (
        (outside, None, "failed"),
        (inside, None, "done"),
        (inside, outside, "failed"),
        (None, outside, "done"),
    ):
        async with connected(fresh_url) as connection:
            job = await add_import(connection, str(small_dataset), ImportOptions(roots=roots))

        async def ended(job: int = job) -> bool:
            rows = await fetch(fresh_url, "SELECT state FROM job WHERE id = $1", job)
            return rows[0]["state"] in ("failed", "done")

        async with worker(fresh_url, import_kind(of_worker), attempts=1):
            await until(ended)
        (row,) = await fetch(fresh_url, "SELECT state, error FROM job WHERE id = $1", job)
        assert row["state"] == state, row
        assert (state == "done") == (row["error"] is None)
        assert row["error"] is None or "is in none of the folders of MEMICOS_IMPORT_ROOTS" in row["error"]
