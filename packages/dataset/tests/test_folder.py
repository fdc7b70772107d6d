"""Datasets at URLs: in memory, on an HTTP server without range requests; other schemes name what to install."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest
from memicos_dataset import read
from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder
from memicos_testing.webapp.small_dataset import write_dataset


class Handler(SimpleHTTPRequestHandler):
    refused = ""
    """Paths that end with this are answered with 403."""

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.refused and self.path.endswith(self.refused):
            self.send_error(403)
        else:
            super().do_GET()


@contextmanager
def http_server(folder: Path, refused: str = "") -> Iterator[str]:
    handler = partial(type("Refusing", (Handler,), {"refused": refused}), directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("datasets") / "small"
    write_dataset(folder, layers=(1, 2), features=16, contexts=8)
    return folder


def in_memory(local: Path, name: str) -> Folder:
    folder = Folder.of(f"memory://{name}")
    system = fsspec.filesystem("memory")
    for path in local.rglob("*"):
        if path.is_file():
            system.pipe_file(f"/{name}/{path.relative_to(local)}", path.read_bytes())
    return folder


def content(location: str | Path | Folder) -> list[object]:
    """All rows of a dataset, verified."""
    manifest = read.read_manifest(location)
    read.verify(location, manifest)
    batches = [*read.documents(location, manifest), *read.vocabulary(location, manifest)]
    batches += read.contexts(location, manifest)
    for source in manifest.source_set.sources:
        batches += [*read.features(location, source), *read.explanations(location, source)]
    return [manifest.model_dump(), *(batch.to_pylist() for batch in batches)]


def test_a_dataset_is_the_same_at_every_url(local: Path) -> None:
    expected = content(local)
    assert content(str(local)) == content(f"file://{local}") == expected
    assert content(in_memory(local, "same")) == expected
    with http_server(local.parent) as url:
        assert content(f"{url}/small") == content(f"{url}/small/") == expected


def test_a_damaged_file_at_a_url_is_named(local: Path) -> None:
    folder = in_memory(local, "damaged")
    manifest = read.read_manifest(folder)
    path = manifest.source_set.sources[0].features[0].path
    with fsspec.open(str(folder.locate(path)), "rb+") as file:
        file.seek(100)  # pyright: ignore[reportAttributeAccessIssue]
        file.write(b"x" * 8)  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(DatasetError, match=r"memory://damaged/1-res/features-00000.parquet: sha256 is"):
        read.verify(folder, manifest)


def test_a_missing_or_refused_file_at_a_url_is_named(local: Path) -> None:
    with pytest.raises(DatasetError, match=r"memory://nothing/manifest.json: no such file"):
        read.read_manifest("memory://nothing")
    with http_server(local) as url, pytest.raises(DatasetError, match=r"/none/manifest.json: no such file"):
        read.read_manifest(f"{url}/none")
    with http_server(local, refused="documents.parquet") as url:
        manifest = read.read_manifest(url)
        with pytest.raises(DatasetError, match=r"documents.parquet: cannot be read .*403"):
            read.verify(url, manifest)
        with pytest.raises(DatasetError, match=r"documents.parquet: .*403"):
            list(read.documents(url, manifest))


def test_a_server_that_does_not_respond_is_reported() -> None:
    with pytest.raises(DatasetError, match=r"http://127.0.0.1:1/d/manifest.json: cannot be read"):
        read.read_manifest(Folder("http://127.0.0.1:1/d", patience_seconds=0.3))


@pytest.mark.parametrize(
    ("url", "message"), [("nonsense://x/y", "no URL that can be read"), ("gs://b/d", r"pip install .*\[gs\]")]
)
def test_a_scheme_that_cannot_be_read_is_refused(url: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # as where the package is not installed
    for name in ("gcsfs", "gcsfs.core"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DatasetError, match=message):
        read.read_manifest(url)


def test_names_of_a_folder(local: Path, tmp_path: Path) -> None:
    expected = ["1-res", "2-res", "corpus", "manifest.json"]
    assert Folder.of(local).names() == in_memory(local, "names").names() == expected
    with http_server(local.parent) as url:
        assert Folder.of(f"{url}/small").names() == expected
    assert Folder.of(tmp_path / "none").names() == Folder.of("memory://none").names() == []


def test_a_listing_has_any_length() -> None:
    folder = Folder.of("memory://long")
    with fsspec.open("memory://long/0", "wb"):
        pass
    system = fsspec.filesystem("memory")
    for number in range(2500):
        system.pipe_file(f"/long/batch-{number}", b"")
    assert len(folder.names()) == 2501


def test_parts_of_a_location(tmp_path: Path) -> None:
    for root in (tmp_path, "memory://a/b"):
        folder = Folder.of(root) / "c"
        assert folder.name == "c" and folder.parent.locate("d") == Folder.of(root).locate("d")
