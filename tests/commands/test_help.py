"""`make help`: every command of the documents, in groups."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMES = (
    "init-env",
    "demo",
    "webapp-demo-build",
    "webapp-demo-run",
    "webapp-localhost-build",
    "webapp-localhost-run",
    "webapp-localhost-install",
    "webapp-localhost-dev",
    "inference-localhost-install",
    "inference-localhost-dev",
    "inference-localhost-build",
    "inference-localhost-build-gpu",
    "inference-localhost-run",
    "inference-localhost-run-gpu",
    "inference-list-configs",
    "doc-inference-localhost",
    "doc-webapp-localhost",
    "doc-autointerp-localhost",
    "autointerp-localhost-install",
    "autointerp-localhost-dev",
    "autointerp-localhost-build",
    "autointerp-localhost-run",
    "openapi",
    "clients",
    "db-migrate",
    "db-reset",
    "db-backup",
    "db-restore",
    "doctor",
    "release",
    "configuration",
)


def help_text() -> str:
    return subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_every_command_is_listed_once_under_a_group() -> None:
    listed = re.findall(r"^  make (\S+) +\S", help_text(), re.MULTILINE)
    assert len(listed) == len(set(listed)) and set(NAMES) <= set(listed)
    headings = re.findall(r"^(\S.*)$", help_text(), re.MULTILINE)
    assert len(headings) >= 5 and "Servers in docker" in headings


def test_every_target_has_a_line_of_help() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert targets == set(re.findall(r"^  make (\S+)", help_text(), re.MULTILINE))


def test_every_command_of_the_readme_exists_and_every_command_is_in_it() -> None:
    table = (ROOT / "README.md").read_text().partition("## Commands")[2].partition("\n## ")[0]
    readme_commands = {
        name
        for line in re.findall(r"`make ([^`]*)`", table)
        for name in line.split()
        if re.fullmatch(r"[a-z][a-z-]*", name)
    }
    assert readme_commands == set(re.findall(r"^  make (\S+)", help_text(), re.MULTILINE))
