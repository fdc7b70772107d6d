"""requirements.lock: every package has hashes, and an installation verifies them."""

import hashlib
import subprocess
import sys
import zipfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
spec = spec_from_file_location("lock", ROOT / "scripts/lock.py")
assert spec is not None and spec.loader is not None
lock = module_from_spec(spec)
spec.loader.exec_module(lock)


def test_every_package_but_torch_has_hashes() -> None:
    entries = lock.entries(lock.LOCK.read_text())
    assert "".join(entries) == lock.LOCK.read_text()
    without = [lock.name_of(entry) for entry in entries if not lock.hashes(entry)]
    assert without == ["torch"]
    (torch,) = lock.entries(lock.TORCH_LOCK.read_text())
    assert lock.pinned(torch) in [lock.pinned(entry) for entry in entries]
    # wheels of the package index, and a CPU build
    assert len(lock.hashes(torch)) > 20


def test_the_gate_verifies_torch_too() -> None:
    assert "export TORCH_LOCK=requirements.torch.lock\n" in (ROOT / ".ci/run").read_text()
    command = ["make", "-n", "-B", "setup", "TORCH_LOCK=requirements.torch.lock"]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "-c requirements.lock -c requirements.torch.lock" in text


def test_uv_is_installed_by_its_hash() -> None:
    command = ["make", "-n", "-B", "setup", "UV=none"]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "pip install -q --require-hashes -r .venv/uv.txt" in text
    (entry,) = [entry for entry in lock.entries(lock.LOCK.read_text()) if lock.name_of(entry) == "uv"]
    for file in ("Makefile", "deploy/docker/install.sh"):
        (expression,) = {
            line.split("'")[1].replace("$$", "$")
            for line in (ROOT / file).read_text().splitlines()
            if "/^uv==/" in line
        }
        done = subprocess.run(["sed", "-n", expression, lock.LOCK], capture_output=True, text=True, check=True)
        assert done.stdout == entry


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel of an empty package."""
    file = tmp_path / "wheels" / "nothing_at_all-1.0-py3-none-any.whl"
    file.parent.mkdir()
    folder = "nothing_at_all-1.0.dist-info"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("nothing_at_all.py", "")
        archive.writestr(f"{folder}/METADATA", "Metadata-Version: 2.1\nName: nothing-at-all\nVersion: 1.0\n")
        archive.writestr(f"{folder}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{folder}/RECORD", "")
    return file


def test_a_file_that_is_not_the_locked_one_is_not_installed(wheel: Path, tmp_path: Path) -> None:
    right = hashlib.sha256(wheel.read_bytes()).hexdigest()
    for digest, message in ((right, ""), (right[::-1], "Hash mismatch for `nothing-at-all==1.0`")):
        constraints = tmp_path / "constraints.txt"
        constraints.write_text(f"nothing-at-all==1.0 \\\n    --hash=sha256:{digest}\n")
        # as the Makefile: constraints have hashes, requirements have none
        options = ["--no-index", "--find-links", wheel.parent, "--no-cache", "--target", tmp_path / digest]
        done = subprocess.run(
            [UV, "pip", "install", *options, "-c", constraints, "nothing-at-all"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode == 0) == (not message) and message in done.stderr, done.stderr


def test_hashes_of_torch_are_kept_for_one_version(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = wheel.rename(wheel.with_name("torch-9.1.0+cpu-cp311-cp311-linux_x86_64.whl"))
    (wheel.parent / "torch-9.0.0+cpu-cp311-cp311-linux_x86_64.whl").write_text("another")
    monkeypatch.setenv("UV_FIND_LINKS", f"{tmp_path}/none,{wheel.parent}")

    def entry(version: str, *digests: str) -> str:
        return " \\\n".join([f"torch=={version}", *(f"    --hash=sha256:{digest}" for digest in digests)]) + "\n"

    index, kept = "1" * 64, "2" * 64
    local = hashlib.sha256(build.read_bytes()).hexdigest()
    written = lock.torch_lock(entry("9.1.0", index), entry("9.1.0", kept))
    (torch,) = lock.entries(written)
    assert torch == entry("9.1.0", *sorted([index, kept, local]))
    monkeypatch.delenv("UV_FIND_LINKS")
    (torch,) = lock.entries(lock.torch_lock(entry("9.1.0", index), entry("9.0.0", kept)))
    assert torch == entry("9.1.0", index)
