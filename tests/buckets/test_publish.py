"""`memicos publish` to a local S3: what is there, in which order, after a kill, and what errors say."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from memicos_dataset.conversion.conversion_folder import Options
from memicos_dataset.conversion.diff import diff
from memicos_dataset.conversion.inspect import faults
from memicos_dataset.conversion.native import to_native
from memicos_dataset.conversion.public import to_public
from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder
from memicos_dataset.public_layout.file_list import FILE_LIST
from memicos_dataset.public_layout.files import METADATA, source_folders
from memicos_dataset.read import read_manifest, verify
from memicos_dataset.remote.errors import AccessRefusedError, UnavailableError
from memicos_dataset.remote.native import put_native
from memicos_dataset.remote.publish import PublishOptions, publish
from memicos_dataset.remote.put import PutOptions
from memicos_testing.s3_server import HALF, S3Server, s3_server
from memicos_testing.webapp.small_dataset import write_dataset

BUCKET = "published"
TARGET = f"s3://{BUCKET}/some/prefix"
MODEL = f"{BUCKET}/some/prefix/v1/small"
FILES = 2 * (3 + len(METADATA) + 1)
"""Of two sources: a batch file of each kind, the files of one row, and the list."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    with s3_server(monkeypatch, BUCKET) as started:
        yield started


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("publish") / "dataset"
    write_dataset(folder, layers=(1, 2), features=48)
    return folder


@pytest.fixture(scope="module")
def expected(dataset: Path) -> dict[str, bytes]:
    """The files of the public layout, without the lists, by their path below `v1/small`."""
    out = dataset.with_name("public")
    to_public(dataset, out, Options(), lambda line: None)
    folder = out / "v1" / "small"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def send(dataset: Path, work: Path, patience: float = 60, replace: bool = False, parallel: int = 4) -> list[str]:
    lines: list[str] = []
    options = PublishOptions(put=PutOptions(parallel, patience, replace), work=work)
    publish(Folder.of(dataset), Folder.of(TARGET), options, lines.append, lambda sent: None)
    return lines


def stored(server: S3Server) -> dict[str, bytes]:
    """What the bucket has, by its path below `v1/small`."""
    system = server.file_system()
    return {path.removeprefix(f"{MODEL}/"): system.cat_file(path) for path in system.find(MODEL)}


def check_complete(server: S3Server, expected: dict[str, bytes]) -> None:
    found = stored(server)
    lists = {path: found.pop(path) for path in list(found) if path.endswith(FILE_LIST)}
    assert found == expected
    for path, content in lists.items():
        named = [json.loads(line)["path"] for line in content.splitlines()]
        source = path.removesuffix(FILE_LIST)
        assert sorted(named) == sorted(name.removeprefix(source) for name in expected if name.startswith(source))
    assert len(lists) == 2


def test_a_published_dataset_is_read_as_it_was(
    server: S3Server, dataset: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    send(dataset, tmp_path / "work")
    check_complete(server, expected)
    assert not (tmp_path / "work").exists()
    puts = [path.removeprefix(f"/{MODEL}/") for path in server.puts()]
    assert len(puts) == FILES
    for place, source in enumerate(("1-res", "2-res")):
        own = puts[place * FILES // 2 : (place + 1) * FILES // 2]
        assert own[0] == f"{source}/{FILE_LIST}" and own[-4:] == [f"{source}/{name}.jsonl" for name in METADATA]
    public = Folder.of(f"s3://{MODEL}")
    assert list(faults(public, Options())) == []
    to_native(public, tmp_path / "native", Options(), lambda line: None)
    results = list(diff(Folder.of(dataset), Folder.of(tmp_path / "native")))
    assert len(results) == 2 and not any(results)


def test_what_is_there_is_not_sent_again(
    server: S3Server, dataset: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    send(dataset, tmp_path / "work")
    server.requests.clear()
    assert all("0 of them sent now" in line for line in send(dataset, tmp_path / "work") if "verified" in line)
    assert server.puts() == []
    # of the same size
    system = server.file_system()
    place = f"{MODEL}/1-res/features/batch-0.jsonl.gz"
    system.pipe_file(place, bytes(len(expected["1-res/features/batch-0.jsonl.gz"])))
    server.requests.clear()
    with pytest.raises(DatasetError, match=r"1-res: has another dataset; .*--replace"):
        send(dataset, tmp_path / "work")
    send(dataset, tmp_path / "work", replace=True)
    # the files of one row were deleted first, so that nobody read the damaged source as a complete one
    assert len(server.puts()) == 1 + len(METADATA)
    check_complete(server, expected)


def test_another_version_replaces_all_files(
    server: S3Server, dataset: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    system = server.file_system()
    for name in ("source.jsonl", "features/batch-0.jsonl.gz", "features/batch-1.jsonl.gz", "notes.txt"):
        system.pipe_file(f"{MODEL}/1-res/{name}", b"old")
    send(dataset, tmp_path / "work", replace=True)
    found = stored(server)
    assert found.pop("1-res/notes.txt") == b"old"
    assert "1-res/features/batch-1.jsonl.gz" not in found
    assert {path: content for path, content in found.items() if not path.endswith(FILE_LIST)} == expected


def command(dataset: Path, work: Path) -> subprocess.Popen[str]:
    arguments = ["publish", str(dataset), "--to", TARGET, "--work", str(work), "--parallel", "2"]
    code = f"from memicos_cli.main import app; app({arguments!r})"
    return subprocess.Popen([sys.executable, "-c", code], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def killing(server: S3Server, process: Callable[[], int], at: int) -> None:
    """Kill a process when its request `at` to put an object arrives; the request is not answered with success."""
    count = 0

    def fault(method: str, path: str) -> int | None:
        nonlocal count
        if method == "PUT":
            count += 1
            if count == at:
                os.kill(process(), signal.SIGKILL)
            return 503 if count >= at else None
        return None

    server.fault = fault


@pytest.mark.slow
def test_a_killed_command_goes_on(server: S3Server, dataset: Path, expected: dict[str, bytes], tmp_path: Path) -> None:
    running: list[int] = []
    sent = 0
    for at in (1, 2, 4, 3):
        server.requests.clear()
        killing(server, lambda: running[-1], at)
        process = command(dataset, tmp_path / "work")
        running.append(process.pid)
        process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL
        server.fault = lambda method, path: None
        # those that were answered before the kill stay, and are not sent again
        before, sent = sent, len(stored(server))
        assert before + at - 1 <= sent <= before + at + 1
        half_published = [
            name for name in ("1-res", "2-res") if 0 < len(server.file_system().find(f"{MODEL}/{name}")) < 8
        ]
        for name in half_published:
            with pytest.raises(DatasetError, match=r"publication is in progress or was interrupted|has no source"):
                source_folders(Folder.of(f"s3://{MODEL}/{name}"))
    server.requests.clear()
    process = command(dataset, tmp_path / "work")
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 0, output
    assert len(server.puts()) == FILES - sent
    check_complete(server, expected)


@pytest.mark.parametrize(("status", "kind", "message"), [
    (403, AccessRefusedError, r"s3://published/.*access is refused .*AWS_ACCESS_KEY_ID"),
    (503, UnavailableError, r"s3://published/.*(503|does not answer|SlowDown).* The same command goes on"),
])  # fmt: skip
def test_errors_say_what_to_do(
    server: S3Server, dataset: Path, tmp_path: Path, status: int, kind: type[OSError], message: str
) -> None:
    server.fault = lambda method, path: status
    with pytest.raises(kind, match=message):
        send(dataset, tmp_path / "work", patience=0)
    # only writing is refused
    server.fault = lambda method, path: status if method == "PUT" else None
    with pytest.raises(kind, match=message):
        send(dataset, tmp_path / "work", patience=0)
    server.fault = lambda method, path: None
    send(dataset, tmp_path / "work")


def test_a_busy_server_is_asked_again(
    server: S3Server, dataset: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    seen: set[str] = set()

    def fault(method: str, path: str) -> int | None:
        if method != "PUT" or path in seen:
            return None
        seen.add(path)
        return 503

    server.fault = fault
    send(dataset, tmp_path / "work")
    assert len(seen) == FILES and len(server.puts()) >= 2 * FILES
    check_complete(server, expected)


def test_a_request_that_fails_is_sent_once_where_there_is_no_patience(
    server: S3Server, dataset: Path, tmp_path: Path
) -> None:
    """Neither boto nor s3fs repeats it, so that memicos's own repetitions are not multiplied."""
    send(dataset, tmp_path / "work")
    folder = Folder(f"s3://{MODEL}/1-res", patience_seconds=0)
    accesses: tuple[Callable[[], Any], ...] = (
        folder.names,
        lambda: folder.size("source.jsonl"),
        lambda: folder.read("source.jsonl"),
        lambda: send(dataset, tmp_path / "work", patience=0),
    )
    for access in accesses:
        for failing in ("GET", "HEAD"):
            server.requests.clear()
            server.fault = lambda method, path, failing=failing: 503 if method == failing else None
            try:
                access()
            except UnavailableError:
                assert [method for method, _ in server.requests].count(failing) == 1, server.requests
            else:
                assert failing not in {method for method, _ in server.requests}
    server.fault = lambda method, path: 503 if method == "PUT" else None
    server.requests.clear()
    with pytest.raises(UnavailableError, match="The same command goes on"):
        put_native(dataset, Folder.of(f"s3://{BUCKET}/once"), PutOptions(1, 0), lambda sent: None)
    assert len(server.puts()) == 1


def test_an_object_whose_body_breaks_off_is_read_on(server: S3Server) -> None:
    content = bytes(range(256)) * 4096
    server.file_system().pipe_file(f"{BUCKET}/large", content)
    gets = 0

    def fault(method: str, path: str) -> int | None:
        nonlocal gets
        gets += method == "GET"
        return HALF if method == "GET" and gets == 1 else None

    server.fault = fault
    folder = Folder.of(f"s3://{BUCKET}")
    with folder.open("large") as file:
        assert b"".join(iter(lambda: file.read(100_000), b"")) == content
    assert gets == 2


def without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, os.devnull)


def test_without_credentials_every_access_says_what_to_set(
    server: S3Server, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_credentials(monkeypatch)
    server.file_system().clear_instance_cache()
    folder = Folder.of(TARGET)
    accesses: tuple[Callable[[], Any], ...] = (
        folder.names,
        lambda: folder.exists("x"),
        lambda: folder.size("x"),
        lambda: folder.read("x"),
        lambda: send(dataset, tmp_path / "work"),
    )
    for access in accesses:
        with pytest.raises(AccessRefusedError, match=r"s3://published/.*no credentials.*AWS_ACCESS_KEY_ID.*anon"):
            access()


def test_half_a_body_is_not_taken_for_a_file(server: S3Server, dataset: Path, tmp_path: Path) -> None:
    send(dataset, tmp_path / "work")
    folder = Folder(f"s3://{MODEL}/1-res", patience_seconds=0.3)
    broken = "features/batch-0.jsonl.gz"
    server.fault = lambda method, path: HALF if method == "GET" and path.endswith(broken) else None
    with pytest.raises(DatasetError, match=r"batch-0.jsonl.gz: cannot be read"):
        to_native(folder, tmp_path / "native", Options(), lambda line: None)
    server.fault = lambda method, path: None
    server.file_system().rm(f"{MODEL}/1-res/{broken}")
    with pytest.raises(DatasetError, match=r"lacks 1 of the 7 files that its files.jsonl names \(features/batch-0"):
        to_native(folder, tmp_path / "native", Options(), lambda line: None)


def test_a_native_dataset_is_put_with_its_manifest_last(server: S3Server, dataset: Path) -> None:
    target = Folder.of(f"s3://{BUCKET}/native")
    assert put_native(dataset, target, PutOptions(), lambda sent: None) == len(server.puts())
    assert server.puts()[-1].endswith("/native/manifest.json")
    manifest = read_manifest(target)
    verify(target, manifest)
    assert manifest == read_manifest(dataset)
    server.requests.clear()
    assert put_native(dataset, target, PutOptions(), lambda sent: None) == 0 and server.puts() == []


def test_files_that_are_no_part_of_the_dataset_are_kept(server: S3Server, dataset: Path) -> None:
    target = Folder.of(f"s3://{BUCKET}/shared")
    other, content = f"{BUCKET}/shared/other/scores.parquet", b"scores of another dataset"
    server.file_system().pipe_file(other, content)
    put_native(dataset, target, PutOptions(), lambda sent: None)
    put_native(dataset, target, PutOptions(replace=True), lambda sent: None)
    assert server.file_system().cat_file(other) == content
