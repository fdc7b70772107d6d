"""Replacing a dataset: a reader finds a complete one at every moment, and a killed replacement is completed."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from memicos_dataset import replace_folder as replacing
from memicos_dataset.manifest import FILE_NAME
from memicos_dataset.replace_folder import finish_interrupted, replace_folder, staging_folder


def write(folder: Path, version: str) -> None:
    folder.mkdir(parents=True)
    (folder / "rows").write_text(version)
    (folder / FILE_NAME).write_text(version)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def without_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replacing, "_exchange_call", lambda: None)


@pytest.mark.parametrize("exchange", [True, False])
def test_a_new_version_replaces_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool) -> None:
    if not exchange:
        without_exchange(monkeypatch)
    out = tmp_path / "out"
    for version in ("1", "2", "3"):
        write(staging_folder(out), version)
        replace_folder(out)
        assert (out / "rows").read_text() == (out / FILE_NAME).read_text() == version
        assert names(tmp_path) == ["out"]
        assert not finish_interrupted(out)


def test_a_reader_always_finds_a_dataset(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(staging_folder(out), "0")
    replace_folder(out)
    missing, finished = [], threading.Event()

    def read() -> None:
        while not finished.is_set():
            if not (out / FILE_NAME).exists():
                missing.append(1)

    reader = threading.Thread(target=read)
    reader.start()
    for version in range(200):
        write(staging_folder(out), str(version))
        replace_folder(out)
    finished.set()
    reader.join()
    assert missing == []


KILLED = """
import os, signal, sys
from pathlib import Path
from memicos_dataset import replace_folder
if sys.argv[2] == "renames":
    replace_folder._exchange_call = lambda: None
rename = Path.rename
left = int(sys.argv[3])
def counted(path, target):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    return rename(path, target)
Path.rename = counted
rmtree = replace_folder.shutil.rmtree
def killing(path, ignore_errors=False):
    global left
    if Path(path).exists():
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
    return rmtree(path, ignore_errors)
replace_folder.shutil.rmtree = killing
replace_folder.replace_folder(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("way", ["exchange", "renames"])
def test_killed_at_any_step_it_is_completed(tmp_path: Path, way: str) -> None:
    for steps in range(10):
        out = tmp_path / str(steps) / "out"
        write(out, "old")
        write(staging_folder(out), "new")
        process = subprocess.run([sys.executable, "-c", KILLED, str(out), way, str(steps)], env=os.environ)
        assert process.returncode in (0, -signal.SIGKILL)
        exists = out.exists()
        assert finish_interrupted(out) is not exists
        assert exists or way == "renames"
        assert (out / "rows").read_text() == (out / FILE_NAME).read_text()
        # the next run
        if staging_folder(out).exists():
            shutil.rmtree(staging_folder(out))
        write(staging_folder(out), "newer")
        replace_folder(out)
        assert (out / "rows").read_text() == "newer" and names(out.parent) == ["out"]
        if process.returncode == 0:
            assert steps == (1 if way == "exchange" else 3)
            return
    raise AssertionError("it was never run to its end")


def test_an_incomplete_new_version_is_not_used(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, "old")
    out.rename(tmp_path / ".out.old")
    staging_folder(out).mkdir()
    (staging_folder(out) / "rows").write_text("half")
    assert finish_interrupted(out)
    assert (out / "rows").read_text() == "old"


def test_an_incomplete_first_version_is_not_an_interrupted_replacement(tmp_path: Path) -> None:
    staging_folder(tmp_path / "out").mkdir()
    assert not finish_interrupted(tmp_path / "out") and not (tmp_path / "out").exists()
