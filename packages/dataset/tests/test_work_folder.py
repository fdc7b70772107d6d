"""The folder of a conversion belongs to one command at a time, and goes when all is done."""

from pathlib import Path

import pytest
from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder
from memicos_dataset.remote.work_folder import work_folder


def test_a_second_command_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    dataset, to, parent = Folder.of(tmp_path / "dataset"), Folder.of("memory://bucket/a"), tmp_path / "work"
    with work_folder(dataset, to, parent) as work:
        (work / "part").write_text("x")
        message = "another command sends it to memory://bucket/a; wait for its end"
        with pytest.raises(DatasetError, match=message), work_folder(dataset, to, parent):
            pass
        assert (work / "part").read_text() == "x"
        # another target has a folder of its own
        with work_folder(dataset, Folder.of("memory://bucket/b"), parent) as other:
            assert other != work
        assert sorted(path.name for path in parent.iterdir()) == [work.name, f"{work.name}.lock"]
    assert not parent.exists()


def test_what_an_interrupted_command_wrote_is_used_again(tmp_path: Path) -> None:
    dataset, to, parent = Folder.of(tmp_path / "dataset"), Folder.of("memory://bucket/a"), tmp_path / "work"
    with pytest.raises(KeyboardInterrupt), work_folder(dataset, to, parent) as work:
        (work / "part").write_text("x")
        raise KeyboardInterrupt
    with work_folder(dataset, to, parent) as work:
        assert (work / "part").read_text() == "x"
    assert not parent.exists()
