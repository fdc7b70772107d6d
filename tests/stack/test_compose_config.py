"""compose accepts every combination of files that docs/deploy.md names, and refuses what is missing."""

import re
import shutil
from pathlib import Path

import pytest
from memicos_testing.docker_stack import DOCKER, ROOT, output, run

COMMANDS = re.findall(r"^docker compose -p \S+ ((?:-f \S+\.yaml )+)up", (ROOT / "docs/deploy.md").read_text(), re.M)
PLUGIN = run("docker", "compose", "version").returncode == 0
PROGRAMS = [["docker-compose"]] * bool(shutil.which("docker-compose")) + [["docker", "compose"]] * PLUGIN


def test_the_document_names_every_file() -> None:
    files = {file.name for file in DOCKER.glob("compose*.yaml")}
    assert {name for command in COMMANDS for name in re.findall(r"-f (\S+)", command)} == files and PROGRAMS


@pytest.mark.parametrize("files", COMMANDS)
@pytest.mark.parametrize("program", PROGRAMS, ids=" ".join)
def test_a_combination_is_accepted(program: list[str], files: str) -> None:
    paths = [part for name in re.findall(r"-f (\S+)", files) for part in ("-f", str(DOCKER / name))]
    command = [*program, "--env-file", str(DOCKER / ".env"), *paths, "config"]
    assert "services:" in output(*command, MODEL_SOURCESET="gpt2-small.res-jb")


@pytest.mark.parametrize("program", PROGRAMS, ids=" ".join)
def test_without_secrets_it_stops_and_names_the_command(program: list[str], tmp_path: Path) -> None:
    empty = tmp_path / "empty.env"
    empty.write_text("")
    refused = run(*program, "--env-file", str(empty), "-f", str(DOCKER / "compose.demo.yaml"), "config")
    assert refused.returncode != 0 and "run make init-env" in refused.stderr
