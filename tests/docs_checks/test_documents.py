"""Commands, links and scripts in README and docs exist."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TARGETS = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.M))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_have_targets(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text())
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_exist(document: Path) -> None:
    # in code only: the words "make sure" in a sentence are no command
    spans = re.findall(r"`make ([^`]+)`|^make ([^#\n]+)", document.read_text(), re.M)
    command_names = {word for pair in spans for span in pair for word in span.split() if re.fullmatch(r"[a-z-]+", word)}
    assert command_names <= TARGETS


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_scripts_exist(document: Path) -> None:
    scripts = re.findall(r"\b(?:benchmarks|scripts|demo)/[\w/.-]+\.(?:py|toml)", document.read_text())
    assert [script for script in scripts if not (ROOT / script).exists()] == []


def test_the_cuda_recipe_is_that_of_the_lock() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    torch = re.findall(r"^torch==(\S+)$", lock, re.M)
    majors = set(re.findall(r"^nvidia-\w+-cu(\d+)==", lock, re.M))
    assert len(torch) == len(majors) == 1  # from the package index, not a build of one machine's own
    recipe = (ROOT / "docs" / "inference-cuda.md").read_text()
    assert f"`requirements.lock` names ({torch[0]})" in recipe and f"CUDA {majors.pop()}" in recipe


def test_readme_lists_every_command() -> None:
    command_names = set(re.findall(r"`make ([a-z-]+)", (ROOT / "README.md").read_text()))
    command_names |= {"clients"} if "make openapi clients" in (ROOT / "README.md").read_text() else set()
    assert command_names >= TARGETS


def test_no_file_has_the_marks_of_an_unfinished_merge() -> None:
    search = ["git", "grep", "--name-only", "-E", r"^(<{7}|>{7}) "]
    # 1: nothing is found
    done = subprocess.run(search, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_text_wraps_at_120_characters(document: Path) -> None:
    # a row of a table is one line, and code is printed as it is sent
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.M | re.S)
    long = [line for line in text.splitlines() if len(line) > 120 and not line.startswith("|")]
    assert long == []
