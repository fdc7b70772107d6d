"""Builds, starts and stops the docker compose stacks, for `make webapp-demo-run` and similar commands.

    stack.py build|up|down|logs STACK [--env-file FILE]

COMPOSE_PROJECT_NAME in the environment replaces the stack's own project, so that two of them run side by side.

Docker, compose, the env file, the config and the port are checked before a stack starts. Every problem is one line with
what to do. Standard library only, as it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "packages/cli/src"))

from memicos_cli import compose_version, env_file, service_links, stack_env  # noqa: E402  (needs the path above, as nothing is installed)

CONFIGS = ".env.inference."
ENGINE_SECONDS = "600"
"""How long docker-compose 1.29 waits for a response of a busy engine; its own default is 60."""
POLL_SECONDS = 1
HOST_SECONDS = 120
"""Longest wait for the webapp to find an inference server that is ready."""
RESTARTS = 2
"""A service that was restarted more often than this while the stack starts is reported."""


class StackError(Exception):
    """A stack that cannot be run; the message is one line with what to do."""


@dataclass(frozen=True)
class Stack:
    """The compose files of a stack, and its published address."""

    project: str
    files: tuple[str, ...]
    prefix: str
    """Prefix of the variables with the published address, `<prefix>_HOST` and `<prefix>_PORT`."""
    port: int
    services: tuple[str, ...] = ()
    """Services that are started; empty: all."""
    path: str = "/"
    """Path that responds once the stack serves."""

    @property
    def needs_config(self) -> bool:
        return "compose.inference.yaml" in self.files


STACKS = {
    "demo": Stack("memicos-demo", ("compose.demo.yaml",), "MEMICOS", 3000, path="/smollm2-135m-it/15-res-4k/0"),
    "webapp": Stack("memicos", ("compose.yaml",), "MEMICOS", 3000),
    "inference": Stack(
        "memicos", ("compose.inference.yaml", "compose.inference-port.yaml"), "INFERENCE", 5002, path="/health"
    ),
    "inference-gpu": Stack(
        "memicos",
        ("compose.inference.yaml", "compose.inference-port.yaml", "compose.gpu.yaml"),
        "INFERENCE",
        5002,
        path="/health",
    ),
    "autointerp": Stack(
        "memicos", ("compose.yaml", "compose.autointerp-port.yaml"), "AUTOINTERP", 5003, ("autointerp",), "/health"
    ),
}


def run(*command: str, **options: object) -> subprocess.CompletedProcess[str]:
    """A command's result; its output is text."""
    return subprocess.run(command, check=False, capture_output=True, text=True, **options)  # pyright: ignore


def find_docker() -> None:
    """
    Raises:
        StackError: docker is not installed, or its engine cannot be reached.
    """
    if shutil.which("docker") is None:
        raise StackError(
            "docker is not installed: https://docs.docker.com/engine/install has it. Without docker: make demo"
        )
    info = run("docker", "info")
    if info.returncode == 0:
        return
    if "permission denied" in info.stderr:
        raise StackError("this user may not use docker: sudo usermod -aG docker $USER, then sign in again")
    raise StackError("docker's engine is not running: sudo systemctl start docker, or start Docker Desktop")


def find_compose() -> list[str]:
    """The command of compose: the plugin `docker compose`, or else docker-compose.

    Raises:
        StackError: there is none, or it is too old.
    """
    if run("docker", "compose", "version").returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose") is None:
        raise StackError("docker compose is not installed: https://docs.docker.com/compose/install has it")
    version = run("docker-compose", "version", "--short").stdout.strip()
    if reason := compose_version.refusal(version):
        raise StackError(reason)
    return ["docker-compose"]


def read_environment(file: Path) -> dict[str, str]:
    """The env file's values, which the environment overrides.

    Raises:
        StackError: the env file is missing, or not complete.
    """
    reason = stack_env.refusal(file)
    if reason:
        raise StackError(reason)
    assignments = env_file.parse(file.read_text(encoding="utf-8"))
    return {**{item.name: item.value for item in assignments}, **service_links.without(os.environ)}


def check_config(environment: dict[str, str]) -> None:
    """
    Raises:
        StackError: MODEL_SOURCESET is not set, or names no env file.
    """
    name = environment.get("MODEL_SOURCESET", "")
    configs = sorted(file.name[len(CONFIGS) :] for file in ROOT.glob(CONFIGS + "*"))
    if name not in configs:
        problem = f"there is no config {name}" if name else "MODEL_SOURCESET is not set"
        raise StackError(f"{problem}: set MODEL_SOURCESET to one of {', '.join(configs)}")


def address(stack: Stack, environment: dict[str, str]) -> tuple[str, int]:
    """The published host and port.

    Raises:
        StackError: the port is not a number from 1 to 65535.
    """
    name = stack.prefix + "_PORT"
    port = environment.get(name) or str(stack.port)
    if not (port.isascii() and port.isdecimal()) or not 1 <= int(port) <= 65535:
        raise StackError(f"{name}={port} is not a port (1 to 65535)")
    return environment.get(stack.prefix + "_HOST") or "127.0.0.1", int(port)


def check_port(stack: Stack, host: str, port: int) -> None:
    """
    Raises:
        StackError: the port is taken by something other than this stack.
    """
    labels = f"label=com.docker.compose.project={stack.project}"
    if run("docker", "ps", "-q", "--filter", labels, "--filter", f"publish={port}").stdout.strip():
        return
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except OSError as error:
            raise StackError(
                f"{host}:{port} cannot be published: {error.strerror}. Set {stack.prefix}_PORT to a free port, "
                f"for example {stack.prefix}_PORT={port + 1}"
            ) from None


@dataclass(frozen=True)
class Compose:
    """The compose command with the files of a stack."""

    command: list[str]
    stack: Stack
    env_file: Path

    def line(self, *arguments: str) -> list[str]:
        files = [part for file in self.stack.files for part in ("-f", str(HERE / file))]
        return [*self.command, "-p", self.stack.project, "--env-file", str(self.env_file), *files, *arguments]

    def call(self, *arguments: str) -> int:
        """Run compose with the output of this program; returns its exit status."""
        return subprocess.call(self.line(*arguments), env=self.environment())

    def environment(self) -> dict[str, str]:
        # stacks of a project are started by several commands, each with only some of its services
        return {
            "COMPOSE_HTTP_TIMEOUT": ENGINE_SECONDS,
            **service_links.without(os.environ),
            "COMPOSE_IGNORE_ORPHANS": "1",
        }

    def containers(self) -> list[dict]:
        """The output of `docker inspect` for the containers of this stack."""
        ids = run(*self.line("ps", "-q"), env=self.environment()).stdout.split()
        # a container may be removed between the two commands
        return json.loads(run("docker", "inspect", *ids).stdout or "[]") if ids else []


def service_name(container: dict) -> str:
    return container["Config"]["Labels"]["com.docker.compose.service"]


def last_line(container: dict) -> str:
    """The last line of a container's log, which usually has the reason why it ended."""
    output = run("docker", "logs", "--tail", "5", container["Id"])
    lines = [line for line in (output.stdout + output.stderr).splitlines() if line.strip()]
    return lines[-1].strip() if lines else "its log is empty"


def find_failure(containers: list[dict], file: Path, restarts: int = RESTARTS) -> str | None:
    """A message about a service that ended with an error, or was restarted more than `restarts` times; None if none."""
    for container in containers:
        state, name = container["State"], service_name(container)
        if state.get("OOMKilled"):
            return f"{name} was killed for its memory limit: raise {memory_variable(name)} in {file}"
        failed = state["Status"] == "exited" and state["ExitCode"] != 0
        if failed or container.get("RestartCount", 0) > restarts:
            # one that was restarted and runs again has status 0
            status = f" with exit status {state['ExitCode']}" if state["ExitCode"] else ""
            return f"{name} ended{status}: {last_line(container)}"
    return None


def memory_variable(service: str) -> str:
    """The setting of a service's memory limit."""
    shared = {"import": "webapp", "worker": "webapp", "model": "inference"}
    return f"{shared.get(service, service)}_memory".upper()


def state_of_inference(containers: list[dict]) -> str | None:
    """The last output of the inference server's health check: `ready`, or what it is loading."""
    for container in containers:
        if service_name(container) == "inference":
            log = (container["State"].get("Health") or {}).get("Log") or []
            return log[-1]["Output"].strip() if log else "starting"
    return None


def get(host: str, port: int, path: str) -> bytes | None:
    """The body of a response; None where there is none, or an error."""
    local = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
    try:
        with urlopen(Request(f"http://{local}:{port}{path}", headers={"Host": "localhost"}), timeout=10) as response:
            return response.read()
    except (URLError, OSError):
        return None


def webapp_problem(host: str, port: int) -> str | None:
    """Why the webapp cannot use inference yet; None where it knows a server that is ready.

    It checks the servers every few seconds, so that it learns a moment later that one is ready.
    """
    body = get(host, port, "/health")
    if body is None:
        return "it does not answer"
    servers = json.loads(body)["inference"]
    if any(server["state"] == "ready" for server in servers):
        return None
    return "; ".join(f"{server['name']}: {server['message']}" for server in servers) or "it has no server"


def start_key(container: dict) -> tuple[str, str]:
    """Identifies one start of a container."""
    return container["Id"], container["State"].get("StartedAt", "")


def wait(
    compose: Compose, starting: subprocess.Popen[bytes], host: str, port: int, earlier: set[tuple[str, str]]
) -> None:
    """Wait until the stack serves, its model is loaded and the webapp knows it; print the first two.

    `earlier` are the starts from before compose was called: until it ends, it may still replace these containers, so
    their failures are ignored.

    Raises:
        StackError: a service failed.
    """
    started_at, served, reported, ready_at = time.monotonic(), False, "", None
    while True:
        exit_status = starting.poll()
        if not served and get(host, port, compose.stack.path) is not None:
            served = True
            print(f"serves after {time.monotonic() - started_at:.0f} s: http://{host}:{port}", flush=True)
        containers = compose.containers()
        started_now = [container for container in containers if start_key(container) not in earlier]
        if exit_status is None:
            containers = started_now
        failure = find_failure(containers, compose.env_file)
        if exit_status and not failure:
            # compose gives up on a service that others depend on, before it was restarted that often
            failure = find_failure(started_now, compose.env_file, restarts=0)
        if failure:
            raise StackError(failure)
        if exit_status:
            raise StackError(f"compose could not start the stack (exit status {exit_status}); its lines above say why")
        inference = state_of_inference(containers)
        if inference and inference != reported:
            print(f"inference, after {time.monotonic() - started_at:.0f} s: {inference}", flush=True)
            reported = inference
        if inference and inference.startswith("failed"):
            raise StackError(f"inference cannot load its model: {inference.partition(': ')[2]}")
        if served and exit_status == 0 and inference in (None, "ready"):
            ready_at = ready_at or time.monotonic()
            uses_inference = inference is not None and compose.stack.prefix == "MEMICOS"
            problem = webapp_problem(host, port) if uses_inference else None
            if problem is None:
                return
            if time.monotonic() - ready_at > HOST_SECONDS:
                print(f"the webapp cannot use inference yet: {problem}", flush=True)
                return
        time.sleep(POLL_SECONDS)


def up(stack: Stack, file: Path) -> None:
    """Build what has changed, start the stack, wait until it serves.

    Raises:
        StackError: it cannot be started.
    """
    find_docker()
    command = find_compose()
    environment = read_environment(file)
    if stack.needs_config:
        check_config(environment)
    host, port = address(stack, environment)
    check_port(stack, host, port)
    compose = Compose(command, stack, file)
    if compose.call("build", *stack.services) != 0:
        raise StackError("an image could not be built; the lines above say why")
    earlier = {start_key(container) for container in compose.containers()}
    starting = subprocess.Popen(compose.line("up", "-d", *stack.services), env=compose.environment())
    try:
        wait(compose, starting, host, port, earlier)
    finally:
        if starting.poll() is None:
            starting.terminate()
            starting.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description="The docker compose stacks.")
    parser.add_argument("command", choices=["build", "up", "down", "logs"])
    parser.add_argument("stack", choices=sorted(STACKS))
    parser.add_argument("--env-file", type=Path, default=HERE / ".env")
    arguments = parser.parse_args()
    stack = STACKS[arguments.stack]
    if warning := service_links.warning(os.environ):
        print(f"{arguments.stack}: {warning}", file=sys.stderr)
    stack = replace(stack, project=os.environ.get("COMPOSE_PROJECT_NAME") or stack.project)
    try:
        if arguments.command == "up":
            up(stack, arguments.env_file)
            return 0
        find_docker()
        compose = Compose(find_compose(), stack, arguments.env_file)
        environment = read_environment(arguments.env_file)
        if stack.needs_config:
            # compose reads the whole file, whatever it is to do
            check_config(environment)
        if arguments.command == "build":
            return compose.call("build", *stack.services)
        if arguments.command == "logs":
            return compose.call("logs", "--follow", "--tail", "100")
        # what other commands started in this project goes too; volumes stay. docker-compose 1.29 refuses this option
        # together with COMPOSE_IGNORE_ORPHANS
        environment = compose.environment()
        environment.pop("COMPOSE_IGNORE_ORPHANS")
        return subprocess.call(compose.line("down", "--remove-orphans"), env=environment)
    except StackError as error:
        print(f"{arguments.stack}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
