"""Two webapps that start together on one empty database, and the commands of the section Backup in docs/deploy.md."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from memicos_testing.docker_stack import (
    COMMAND_SECONDS,
    DOCKER,
    ROOT,
    Stack,
    env_value,
    eventually,
    measure,
    output,
    run,
)

PROJECT = "memicos-test-replicas"
DASHBOARD = "/smollm2-135m-it/15-res-4k/87"


@pytest.fixture
def empty() -> Iterator[Stack]:
    """The database of a stack in a project of its own, without a webapp."""
    stack = Stack("webapp", ("compose.yaml",), PROJECT)
    stack.remove()
    stack.compose("up", "-d", "database")
    eventually(lambda: stack.container("database")["State"]["Health"]["Status"] == "healthy")
    yield stack
    stack.remove()


def test_two_webapps_that_start_together_migrate_once(demo: Stack, empty: Stack) -> None:
    del demo  # it has built the images
    names = [f"{PROJECT}-{number}" for number in (1, 2)]
    for name in names:
        empty.compose("run", "--no-deps", "-d", "--name", name, "--entrypoint", "sleep", "webapp", "infinity")
    # compose takes seconds for each: the processes start within one
    command = "exec python -m memicos_webapp >/tmp/log 2>&1"
    for name in names:
        output("docker", "exec", "-d", name, "sh", "-c", command)
    check = ("python", "-m", "memicos_service.healthcheck", "http://127.0.0.1:3000/health")
    for name in names:
        eventually(lambda name=name: run("docker", "exec", name, *check).returncode == 0)
    logs = [output("docker", "exec", name, "cat", "/tmp/log") for name in names]
    assert sum(log.count("migrating the database from revision none") for log in logs) == 1, logs
    assert not any("Traceback" in log for log in logs), logs
    assert empty.sql("SELECT count(*) FROM alembic_version") == "1"


def backup_commands() -> tuple[str, str]:
    """The commands of the document: the one that writes the backup, and those that restore it."""
    section = (ROOT / "docs/deploy.md").read_text().partition("\n## Backup\n")[2]
    (block,) = re.findall(r"```sh\n(.*?)```", section.partition("\n## ")[0], re.S)
    change_folder, write, *restore = block.replace("\\\n", "").strip().splitlines()
    assert change_folder == "cd deploy/docker" and "pg_dump" in write
    return write, "\n".join(restore)


def test_the_backup_of_the_demo_is_restored_and_serves(demo: Stack, tmp_path: Path) -> None:
    def shell(commands: str) -> None:
        """Run commands of the document on the demo, by the compose that is here."""
        compose = f"docker-compose -p {demo.project} --env-file {DOCKER}/.env -f compose.demo.yaml"
        own = commands.replace("docker compose -p memicos -f compose.yaml", compose)
        own = own.replace("before.dump", str(tmp_path / "before.dump"))
        assert compose in own and "-p memicos " not in own
        done = subprocess.run(
            ["bash", "-ec", own],
            cwd=DOCKER,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    write, restore = backup_commands()
    with httpx.Client(base_url=demo.url, timeout=240) as client:
        before = eventually(lambda: client.get(f"/api/feature{DASHBOARD}").raise_for_status().json())
        began = time.monotonic()
        shell(write)
        written = time.monotonic() - began
        demo.sql("TRUNCATE explanation CASCADE")
        assert client.get(f"/api/feature{DASHBOARD}").json()["explanations"] == []
        began = time.monotonic()
        shell(restore)
        eventually(lambda: client.get(DASHBOARD).status_code == 200)
        megabytes = (tmp_path / "before.dump").stat().st_size / 1e6
        measure(
            "backup of the demo", f"{megabytes:.0f} MB in {written:.0f} s; restored in {time.monotonic() - began:.0f} s"
        )
        after = client.get(f"/api/feature{DASHBOARD}").json()
    assert before["explanations"] and json.dumps(after, sort_keys=True) == json.dumps(before, sort_keys=True)
    assert env_value("POSTGRES_PASSWORD").encode() not in (tmp_path / "before.dump").read_bytes()
