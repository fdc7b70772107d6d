"""The three commands of docs/own-sae.md, from nothing to a dashboard of one's own SAE, on glassllm."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from memicos_testing.models.foreign_saes import fitted_weights, write_saelens
from memicos_testing.models.small_model import SAMPLE, hidden_on_sample, small_model
from memicos_testing.servers import free_port
from memicos_testing.webapp.webapp_program import served
from memicos_webapp.database.embedded import temporary

DOCUMENT = Path(__file__).parents[2] / "docs" / "own-sae.md"


def documented_commands() -> list[list[str]]:
    """The commands below the heading, with the SAE at block 1: the model has no block 5."""
    section = DOCUMENT.read_text().split("## From nothing to a dashboard\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return [shlex.split(line.replace("5-mine", "1-mine")) for line in block.splitlines()]


@pytest.mark.slow
def test_three_commands_make_a_dashboard(tmp_path: Path) -> None:
    small_model(tmp_path / "my" / "model")
    write_saelens(tmp_path / "my" / "1-mine", fitted_weights(1, hidden_on_sample(1)))
    words = SAMPLE.split(" ")
    text = " ".join(" ".join(words[shift:] + words[:shift]) for shift in range(0, 60, 7))
    (tmp_path / "my" / "texts.txt").write_text(text)
    commands = documented_commands()
    assert [command[0] for command in commands] == [".venv/bin/memicos"] * 3
    port = free_port()
    with temporary() as database:
        variables = os.environ | {"DATABASE_URL": database, "MEMICOS_PORT": str(port)}
        for _, *arguments in commands:
            program = [str(Path(sys.executable).with_name("memicos")), *arguments]
            result = subprocess.run(program, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
            assert result.returncode == 0, result.stderr
        with served(port, variables) as url:
            listing = httpx.get(f"{url}/model/1-mine")
            assert listing.status_code == 200
            index = re.findall(r'href="/model/1-mine/(\d+)"', listing.text)[0]
            page = httpx.get(f"{url}/model/1-mine/{index}")
            feature = httpx.get(f"{url}/api/feature/model/1-mine/{index}").json()
    assert page.status_code == 200
    assert feature["maxActApprox"] > 0 and "".join(feature["activations"][0]["tokens"]).strip()
