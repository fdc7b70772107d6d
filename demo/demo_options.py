"""What `make demo` runs, and where: from the command line, the environment and `.env`."""

import argparse
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import ports
from dotenv import dotenv_values
from memicos_cli import service_links
from memicos_service.settings import check_env_file
from memicos_webapp.settings import SYSTEM_DATA
from pydantic_settings import BaseSettings
from supervisor import Console, Stop

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / ".data"
"""The data folder where MEMICOS_DATA is not set; env files in the repository name the demo's model in it."""


@dataclass(frozen=True)
class Server:
    """Address of a server; the variables `prefix`_HOST and `prefix`_PORT change it."""

    name: str
    prefix: str
    port: int
    host: str = "127.0.0.1"

    @property
    def local_host(self) -> str:
        """The host name for connections from this machine."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)

    @property
    def address(self) -> str:
        return f"[{self.local_host}]:{self.port}" if ":" in self.local_host else f"{self.local_host}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"


SERVERS = (
    Server("webapp", "MEMICOS", 3000),
    Server("inference", "INFERENCE", 5002),
    Server("autointerp", "AUTOINTERP", 5003),
)


@dataclass(frozen=True)
class Options:
    data: Path
    dataset: Path
    first_page: str
    """Path of one dashboard of the dataset."""
    inference_config: Path
    fetch_model: bool
    environment: dict[str, str]
    """Environment of every program: variables that are set override `.env`, which overrides the servers' addresses."""
    webapp: Server
    inference: Server
    autointerp: Server

    @property
    def database_url(self) -> str | None:
        return self.environment.get("DATABASE_URL") or None

    @property
    def system_data(self) -> Path:
        return Path(self.environment.get("MEMICOS_SYSTEM_DATA") or SYSTEM_DATA)


def first_page(dataset: Path) -> str:
    """Path of the first dashboard of the middle source.

    Raises:
        Stop: the folder has no readable manifest.
    """
    file = dataset / "manifest.json"
    try:
        manifest = json.loads(file.read_bytes())
        sources = manifest["source_set"]["sources"]
        return f"/{manifest['model']['id']}/{sources[len(sources) // 2]['id']}/0"
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise Stop(f"{file} is not the manifest of a dataset ({error})") from error


def configured(server: Server, environment: dict[str, str]) -> Server:
    """The server with host and port from the environment.

    Raises:
        Stop: the port is not a number from 1 to 65535.
    """
    name = f"{server.prefix}_PORT"
    port = environment.get(name) or str(server.port)
    if not (port.isascii() and port.isdecimal()) or not 1 <= int(port) <= 65535:
        raise Stop(f"{name}={port} is not a port (1 to 65535)")
    host = environment.get(f"{server.prefix}_HOST") or server.host
    return replace(server, host=host, port=int(port))


def model_setting(inference_config: Path, data: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """CUSTOM_HF_MODEL_ID in the folder `data`, where the env file names a folder in the default data folder.

    Empty where `data` is the default, or the model is set in the environment or elsewhere in the env file.
    """
    model = dotenv_values(inference_config).get("CUSTOM_HF_MODEL_ID")
    if not model or "CUSTOM_HF_MODEL_ID" in environment or data == DATA:
        return {}
    folder = Path(os.path.normpath(ROOT / model))
    return {"CUSTOM_HF_MODEL_ID": str(data / folder.relative_to(DATA))} if folder.is_relative_to(DATA) else {}


def selftest_setting(inference_config: Path, data: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """INFERENCE_SELFTEST_RESULTS in the folder `data`; empty where the environment or the env file sets it."""
    name = "INFERENCE_SELFTEST_RESULTS"
    return {} if name in environment or name in dotenv_values(inference_config) else {name: str(data / "selftest")}


def read_options(console: Console) -> Options:
    """Read options from the command line, the environment and `.env`.

    Raises:
        Stop: an option or `.env` cannot be used, or a port is taken.
    """
    parser = argparse.ArgumentParser(prog="demo/run.py", description="The demo, until Ctrl-C.")
    parser.add_argument("--dataset", type=Path, default=ROOT / "demo/dataset", help="folder to import")
    parser.add_argument(
        "--inference-config",
        type=Path,
        default=ROOT / ".env.inference.smollm2-135m-it.res-4k",
        help="env file of the inference server",
    )
    parser.add_argument("--no-model", action="store_true", help="do not fetch the demo's model")
    arguments = parser.parse_args()
    env_file = ROOT / ".env"
    if env_file.is_file():
        try:
            check_env_file(env_file, BaseSettings)
        except ValueError as error:
            raise Stop(str(error)) from error
    from_file = {name: value for name, value in dotenv_values(env_file).items() if value is not None}
    environment = from_file | service_links.without(os.environ)
    if warning := service_links.warning(os.environ):
        console.say("demo", warning)
    servers = [configured(server, environment) for server in SERVERS]
    checks = [ports.port_problem(s.name, s.host, s.port, f"{s.prefix}_PORT") for s in servers]
    problems = [problem for problem in checks if problem]
    if problems:
        raise Stop("\n".join(problems))
    for server in servers:
        environment[f"{server.prefix}_HOST"] = server.host
        environment[f"{server.prefix}_PORT"] = str(server.port)
    webapp, inference, autointerp = servers
    environment.setdefault("INFERENCE_URL", inference.url)
    environment.setdefault("AUTOINTERP_URL", autointerp.url)
    # inference tells the webapp's visitors apart, and other programs of this machine cannot invent any
    environment.setdefault("INFERENCE_CLIENT_KEY", secrets.token_urlsafe(32))
    # a line for each request would hide the demo's own lines
    environment.setdefault("MEMICOS_LOG_REQUESTS", "0")
    environment.setdefault("INFERENCE_LOG_REQUESTS", "0")
    data = Path(os.path.normpath(ROOT / (environment.get("MEMICOS_DATA") or DATA)))
    config = arguments.inference_config.resolve()
    environment |= selftest_setting(config, data, environment)
    if not arguments.no_model:
        environment |= model_setting(config, data, environment)
    return Options(
        data=data,
        dataset=arguments.dataset.resolve(),
        first_page=first_page(arguments.dataset),
        inference_config=config,
        fetch_model=not arguments.no_model,
        environment=environment,
        webapp=webapp,
        inference=inference,
        autointerp=autointerp,
    )
