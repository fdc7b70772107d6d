"""Each make command of docker calls compose with the files and services of its stack; a stand-in takes compose's place.

A real engine runs the demo's and the webapp's in tests/stack.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from memicos_testing.servers import free_port

ROOT = Path(__file__).parents[2]
DOCKER = """#!/bin/sh
case "$1" in compose) exit 1 ;; esac
"""
COMPOSE = """#!/bin/sh
[ "$1" = version ] && { echo 1.29.2; exit 0; }
echo "$*" >> "$CALLS"
case "$*" in *" up -d"*) exit 17 ;; esac
"""
"""Notes how it was called; starting a stack fails, so that nothing waits for it."""

WEBAPP = ("compose.yaml",)
DEMO = ("compose.demo.yaml",)
INFERENCE = ("compose.inference.yaml", "compose.inference-port.yaml")
AUTOINTERP = ("compose.yaml", "compose.autointerp-port.yaml")
COMMANDS = {
    "webapp-demo-build": (DEMO, "memicos-demo", "build"),
    "webapp-demo-run": (DEMO, "memicos-demo", "up -d"),
    "webapp-demo-down": (DEMO, "memicos-demo", "down --remove-orphans"),
    "webapp-demo-logs": (DEMO, "memicos-demo", "logs --follow --tail 100"),
    "webapp-localhost-build": (WEBAPP, "memicos", "build"),
    "webapp-localhost-run": (WEBAPP, "memicos", "up -d"),
    "webapp-localhost-down": (WEBAPP, "memicos", "down --remove-orphans"),
    "webapp-localhost-logs": (WEBAPP, "memicos", "logs --follow --tail 100"),
    "inference-localhost-build": (INFERENCE, "memicos", "build"),
    "inference-localhost-run": (INFERENCE, "memicos", "up -d"),
    "inference-localhost-build-gpu": ((*INFERENCE, "compose.gpu.yaml"), "memicos", "build"),
    "inference-localhost-run-gpu": ((*INFERENCE, "compose.gpu.yaml"), "memicos", "up -d"),
    "autointerp-localhost-build": (AUTOINTERP, "memicos", "build autointerp"),
    "autointerp-localhost-run": (AUTOINTERP, "memicos", "up -d autointerp"),
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the commands use, and the stand-ins in `bin`."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copy(ROOT / "Makefile", folder)
    shutil.copy(ROOT / ".env.inference.gpt2-small.res-jb", folder)
    shutil.copytree(ROOT / "deploy/docker", folder / "deploy/docker", ignore=shutil.ignore_patterns(".env"))
    shutil.copytree(ROOT / "packages/cli/src", folder / "packages/cli/src")
    (folder / "bin").mkdir()
    for name, text in (("docker", DOCKER), ("docker-compose", COMPOSE)):
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    return folder


@pytest.mark.parametrize("name", COMMANDS)
def test_command_calls_compose(checkout: Path, tmp_path: Path, name: str) -> None:
    files, project, arguments = COMMANDS[name]
    calls = tmp_path / "calls"
    variables = {
        "PATH": f"{checkout / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", "/"),
        "CALLS": str(calls),
        "UV_FIND_LINKS": "",
        "MODEL_SOURCESET": "gpt2-small.res-jb",
        **{f"{prefix}_PORT": str(free_port()) for prefix in ("MEMICOS", "INFERENCE", "AUTOINTERP")},
    }
    command = ["make", "-s", name, f"PYTHON={sys.executable}"]
    if not name.endswith(("-build", "-run", "-gpu")):
        subprocess.run(["make", "-s", "init-env", command[-1]], cwd=checkout, env=variables, check=True)
    done = subprocess.run(command, cwd=checkout, env=variables, capture_output=True, text=True, check=False)
    starts = arguments.startswith("up")
    assert done.returncode == (2 if starts else 0), done.stderr
    assert ("compose could not start the stack (exit status 17)" in done.stderr) == starts, done.stderr
    env_file = checkout / "deploy/docker/.env"
    assert env_file.exists()
    options = " ".join(f"-f {checkout / 'deploy/docker' / file}" for file in files)
    expected = f"-p {project} --env-file {env_file} {options} "
    called = [line for line in calls.read_text().splitlines() if not line.endswith(" ps -q")]
    # what a run starts is built before
    built = [expected + arguments.replace("up -d", "build")] if starts else []
    assert called == [*built, expected + arguments]


def test_every_docker_command_of_the_makefile_is_tested() -> None:
    makefile = (ROOT / "Makefile").read_text()
    group = makefile.partition("##@ Servers in docker")[2].partition("##@")[0]
    targets = {line.partition(":")[0] for line in group.splitlines() if line[:1].isalpha() and ": " in line}
    assert targets - {"init-env", "STACK"} == set(COMMANDS)
