"""compose accepts every combination of files that docs/deploy.md names, and refuses what is missing."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from memicos_testing.docker_stack import COMMAND_SECONDS, DOCKER, ROOT, output, run

DOCUMENT = (ROOT / "docs/deploy.md").read_text()
COMMANDS = re.findall(r"^docker compose -p \S+ ((?:-f \S+\.yaml )+)up", DOCUMENT, re.M)
EXAMPLE = "more-inference.yaml"
"""A file of the user's own, whose content is in the document."""
OWN_DATABASE = "postgresql://memicos@db.example/memicos"
PLUGIN = run("docker", "compose", "version").returncode == 0
PROGRAMS = [["docker-compose"]] * bool(shutil.which("docker-compose")) + [["docker", "compose"]] * PLUGIN


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of deploy/docker with the example of the document beside its files, as a user has them."""
    folder = tmp_path_factory.mktemp("checkout") / "deploy/docker"
    shutil.copytree(DOCKER, folder)
    (content,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT.partition("## Several inference servers")[2], re.S)
    (folder / EXAMPLE).write_text(content)
    return folder


def config(program: list[str], folder: Path, files: str, **variables: str) -> dict:
    """What compose makes of the files."""
    paths = [part for name in re.findall(r"-f (\S+)", files) for part in ("-f", str(folder / name))]
    command = [*program, "--env-file", str(folder / ".env"), *paths, "config"]
    variables = {"MODEL_SOURCESET": "gpt2-small.res-jb", "DATABASE_URL": OWN_DATABASE} | variables
    return yaml.safe_load(output(*command, seconds=COMMAND_SECONDS, **variables))


def test_the_document_names_every_file() -> None:
    files = {file.name for file in DOCKER.glob("compose*.yaml")}
    assert {name for command in COMMANDS for name in re.findall(r"-f (\S+)", command)} == {*files, EXAMPLE}
    assert PROGRAMS


@pytest.mark.parametrize("files", [files for files in COMMANDS if EXAMPLE not in files])
@pytest.mark.parametrize("program", PROGRAMS, ids=" ".join)
def test_a_combination_is_accepted(program: list[str], folder: Path, files: str) -> None:
    assert config(program, folder, files)["services"]


@pytest.mark.parametrize("program", PROGRAMS, ids=" ".join)
def test_the_example_of_several_inference_servers_is_accepted(program: list[str], folder: Path) -> None:
    (files,) = [files for files in COMMANDS if EXAMPLE in files]
    section = DOCUMENT.partition("In `deploy/docker/.env` (")[2]
    variables = dict(line.split("=", 1) for line in section.split("```")[1].strip().splitlines())
    (webapp_secret,) = re.findall(r"`(INFERENCE_SECRET_\w+)=…`", section)
    webapp_env = folder / "webapp.env"
    webapp_env.write_text(f"{webapp_secret}=of-gemma\n")
    variables |= {"WEBAPP_ENV_FILE": str(webapp_env), "GEMMA_SECRET": "of-gemma"}
    services = config(program, folder, files, **variables)["services"]
    assert services["inference-gemma"]["environment"]["INFERENCE_SECRET"] == "of-gemma"
    assert services["inference"]["environment"]["INFERENCE_SECRET"] != "of-gemma"
    webapp = services["webapp"]["environment"]
    assert webapp[webapp_secret] == "of-gemma"
    hosts = dict(item.split("=", 1) for item in webapp["MEMICOS_INFERENCE_HOSTS"].split(","))
    assert set(hosts.values()) == {f"http://{name}:5002" for name in services if name.startswith("inference")}


@pytest.mark.parametrize("program", PROGRAMS, ids=" ".join)
def test_with_an_own_database_there_is_none_in_the_stack(program: list[str], folder: Path) -> None:
    services = config(program, folder, "-f compose.own-database.yaml")["services"]
    assert set(services) == {"webapp", "worker", "autointerp"}
    environment = services["webapp"]["environment"]
    # the password of the stack's own PostgreSQL is not sent to another one
    assert environment["DATABASE_URL"] == OWN_DATABASE and environment.get("PGPASSWORD") is None
    environment = config(program, folder, "-f compose.own-database.yaml", PGPASSWORD="a:b@c")["services"]["webapp"]
    assert environment["environment"]["PGPASSWORD"] == "a:b@c"


@pytest.mark.parametrize("program", PROGRAMS, ids=" ".join)
def test_without_the_address_of_an_own_database_it_stops(program: list[str]) -> None:
    files = ("-f", str(DOCKER / "compose.own-database.yaml"))
    refused = run(*program, "--env-file", str(DOCKER / ".env"), *files, "config", DATABASE_URL="")
    assert refused.returncode != 0 and "set it to the address of your PostgreSQL" in refused.stderr


@pytest.mark.parametrize("program", PROGRAMS, ids=" ".join)
def test_without_secrets_it_stops_and_names_the_command(program: list[str], tmp_path: Path) -> None:
    empty = tmp_path / "empty.env"
    empty.write_text("")
    refused = run(*program, "--env-file", str(empty), "-f", str(DOCKER / "compose.demo.yaml"), "config")
    assert refused.returncode != 0 and "run make init-env" in refused.stderr
