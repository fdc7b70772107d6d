"""A native dataset at a URL replaces another one there, and nothing beside it."""

from pathlib import Path

import fsspec
import pytest
from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder
from memicos_dataset.manifest import FILE_NAME
from memicos_dataset.read import read_manifest, verify
from memicos_dataset.remote.native import put_native
from memicos_dataset.remote.put import PutOptions
from memicos_testing.webapp.small_dataset import write_dataset

URL = "memory://put-native/dataset"
NEIGHBOURS = ("experiments/scores.parquet", "other/features-00000.parquet", "1-res/notes.txt")


def test_the_sources_of_the_old_manifest_are_deleted_and_neighbours_stay(tmp_path: Path) -> None:
    write_dataset(tmp_path / "old", layers=(1, 2), features=8, contexts=8)
    write_dataset(tmp_path / "new", layers=(1,), features=8, contexts=8, seed=1)
    system = fsspec.filesystem("memory")
    for name in NEIGHBOURS:
        system.pipe_file(f"/put-native/dataset/{name}", b"mine")
    put_native(tmp_path / "old", Folder.of(URL), PutOptions(), lambda sent: None)
    with pytest.raises(DatasetError, match="has another dataset"):
        put_native(tmp_path / "new", Folder.of(URL), PutOptions(), lambda sent: None)
    # a file that an older dataset of the same source had more
    system.pipe_file("/put-native/dataset/1-res/features-00007.parquet", b"old")
    put_native(tmp_path / "new", Folder.of(URL), PutOptions(replace=True), lambda sent: None)
    manifest = read_manifest(URL)
    verify(URL, manifest)
    found = {path.removeprefix("/put-native/dataset/") for path in system.find("/put-native/dataset")}
    assert found == {FILE_NAME, *NEIGHBOURS, *(entry.path for entry in manifest.files())}
    assert all(system.cat_file(f"/put-native/dataset/{name}") == b"mine" for name in NEIGHBOURS)


def test_a_manifest_that_cannot_be_read_is_replaced(tmp_path: Path) -> None:
    url = "memory://put-native/damaged"
    write_dataset(tmp_path / "new", layers=(1,), features=8, contexts=8)
    fsspec.filesystem("memory").pipe_file(f"/put-native/damaged/{FILE_NAME}", b"{")
    put_native(tmp_path / "new", Folder.of(url), PutOptions(replace=True), lambda sent: None)
    verify(url, read_manifest(url))
