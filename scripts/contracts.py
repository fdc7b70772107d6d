"""The contracts between services: OpenAPI documents of the services, and clients generated from the documents.

    python scripts/contracts.py openapi     write schemas/openapi/*.yaml
    python scripts/contracts.py clients     write the packages in packages/clients from them
    python scripts/contracts.py check       fail if either differs from what the code generates

Names of services may follow the command. The services are imported; no model or database is opened.
"""

import argparse
import ast
import copy
import difflib
import importlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openapi_python_client
import typescript_client
import yaml

ROOT = Path(__file__).resolve().parent.parent
CLIENTS = ROOT / "packages" / "clients"
TEMPLATES = CLIENTS / "templates"
STOCK_TEMPLATES = Path(openapi_python_client.__file__).parent / "templates"
STOCK_CALLS = re.compile(r"{% if parsed_responses %}\n(?:async )?def (?:sync|asyncio)\(.*?{% endif %}\n", re.DOTALL)
"""`sync` and `asyncio` of the stock endpoint template, which return errors; `_calls.py.jinja` has those that raise."""
STOCK_TIMEOUT = "_timeout: httpx.Timeout | None = field(default=None,"
STOCK_TIMEOUT_TEXT = "``timeout``: The maximum amount of a time a request can take. API functions will raise"
CONNECT_SECONDS, READ_SECONDS = 10, 600
"""Default time-outs of the clients, in seconds: a generation may send nothing while it waits and runs."""
METHODS = ("get", "put", "post", "delete", "patch", "head", "options")


@dataclass(frozen=True)
class Service:
    name: str
    module: str
    document: str
    distribution: str
    package: str

    @property
    def yaml(self) -> Path:
        return ROOT / "schemas" / "openapi" / self.document

    @property
    def client(self) -> Path:
        return CLIENTS / self.distribution / "src" / self.package


SERVICES = (
    Service(
        "inference",
        "memicos_inference.app",
        "inference-server.yaml",
        "memicos-inference-client",
        "memicos_inference_client",
    ),
    Service(
        "autointerp",
        "memicos_autointerp.app",
        "autointerp-server.yaml",
        "memicos-autointerp-client",
        "memicos_autointerp_client",
    ),
    Service("webapp", "memicos_webapp.app", "webapp.yaml", "memicos-client", "memicos_client"),
)


class ContractError(Exception):
    """No client can be generated from a service's document."""


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every operation with its place, for example "POST /v1/tokenize"."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


def event_fields(media: dict[str, Any]) -> dict[str, str]:
    """The request field that enables the events of each name: `x-event-fields`, or `stream_<name>s`."""
    named = media.get("x-event-fields", {})
    names = [name for name in media.get("x-events", {}) if name not in ("message", "error")]
    return {name: named.get(name, f"stream_{name}s") for name in names}


def request_fields(document: dict[str, Any], operation: dict[str, Any]) -> set[str]:
    """Names of the fields of an operation's JSON body."""
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    name = schema["$ref"].rpartition("/")[2]
    return set(document["components"]["schemas"][name]["properties"])


def current_document(service: Service) -> dict[str, Any]:
    """The document of the service's current code, checked for constructs that the generator ignores silently."""
    document = importlib.import_module(service.module).create_app().openapi()
    ids = Counter(operation["operationId"] for _, operation in operations(document))
    twice = [name for name, count in ids.items() if count > 1]
    if twice:
        raise ContractError(f"{service.name}: operation ids used twice: {', '.join(twice)}")
    for place, operation in operations(document):
        for status, response in operation["responses"].items():
            content = response.get("content", {})
            if "text/event-stream" not in content:
                continue
            if status != "200" or "application/json" not in content:
                raise ContractError(f"{service.name}: {place}: events need application/json beside them, for 200")
            events = content["text/event-stream"].get("x-events", {})
            if "message" not in events or not all("$ref" in schema for schema in events.values()):
                raise ContractError(f"{service.name}: {place}: x-events names the schema of each event")
            fields = {"stream", *event_fields(content["text/event-stream"]).values()}
            if missing := fields - request_fields(document, operation):
                raise ContractError(f"{service.name}: {place}: the request has no field {', '.join(sorted(missing))}")
            # the generator reads the first
            response["content"] = {"application/json": content.pop("application/json"), **content}
    return document


def as_yaml(document: dict[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)


def generate(service: Service, target: Path) -> None:
    """Writes the client for the service's committed document to `target`, a folder named as the package."""
    document = yaml.safe_load(service.yaml.read_text())
    generated_from = copy.deepcopy(document)
    for _, operation in operations(generated_from):
        # otherwise functions refuse a client without a secret, which a server may not need
        operation.pop("security", None)
        accept_index_as_text_or_number(operation.get("parameters", []))
    accept_request_index_as_text_or_number(generated_from)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        source = work / "openapi.yaml"
        source.write_text(as_yaml(generated_from))
        config = work / "generator.yaml"
        config.write_text((CLIENTS / "generator.yaml").read_text() + f"package_name_override: {service.package}\n")
        templates = work / "templates"
        shutil.copytree(TEMPLATES, templates)
        _adapt_stock_templates(templates)
        _run_generator(source, config, templates, target)
    _write_package_init(document, target)
    (target / "py.typed").write_text("")
    if _has_streams(document):
        shutil.copy(TEMPLATES / "sse.py.jinja", target / "sse.py")


def accept_index_as_text_or_number(parameters: list[dict[str, Any]]) -> None:
    """Lets parameters named `index` be `int` or `str`: responses have text, users often a number."""
    for parameter in parameters:
        if parameter["name"] == "index":
            parameter["schema"] = _text_or_number(parameter["schema"])


def accept_request_index_as_text_or_number(document: dict[str, Any]) -> None:
    """The same for fields named `index` of the schemas that only requests use."""
    requests, responses = set[str](), set[str]()
    for _, operation in operations(document):
        _collect_schemas(document, operation.get("requestBody", {}), requests)
        _collect_schemas(document, operation["responses"], responses)
    for name in requests - responses:
        properties = document["components"]["schemas"][name].get("properties", {})
        if "index" in properties:
            properties["index"] = _text_or_number(properties["index"])


def _text_or_number(schema: dict[str, Any]) -> dict[str, Any]:
    nullable = {"type": "null"} in schema.get("anyOf", [])
    kept = {key: schema[key] for key in ("description", "title") if key in schema}
    types = ["integer", "string", *(["null"] if nullable else [])]
    return {"anyOf": [{"type": type_} for type_ in types], **kept}


def _collect_schemas(document: dict[str, Any], node: Any, names: set[str]) -> None:
    """Adds to `names` the component schemas that `node` refers to, directly or through others."""
    if isinstance(node, list):
        for item in node:
            _collect_schemas(document, item, names)
    elif isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str) and (name := reference.rpartition("/")[2]) not in names:
            names.add(name)
            _collect_schemas(document, document["components"]["schemas"][name], names)
        for value in node.values():
            _collect_schemas(document, value, names)


def _adapt_stock_templates(templates: Path) -> None:
    """Writes the generator's own templates with memicos' changes.

    Raises:
        ContractError: If a release of the generator no longer has the text that is replaced.
    """
    endpoint, count = STOCK_CALLS.subn("", (STOCK_TEMPLATES / "endpoint_module.py.jinja").read_text())
    client = (STOCK_TEMPLATES / "client.py.jinja").read_text()
    if count != 2 or STOCK_TIMEOUT not in client or STOCK_TIMEOUT_TEXT not in client:
        raise ContractError("the templates of openapi-python-client changed: adapt STOCK_* in scripts/contracts.py")
    (templates / "_stock_endpoint_module.py.jinja").write_text(endpoint)
    timeout = f"httpx.Timeout({READ_SECONDS}, connect={CONNECT_SECONDS})"
    client = client.replace(STOCK_TIMEOUT, STOCK_TIMEOUT.replace("default=None", f"default={timeout}"))
    text = f"``timeout``: An httpx.Timeout. By default {CONNECT_SECONDS} seconds to connect and {READ_SECONDS} seconds"
    text += (
        " without a byte\n        from the server, enough for a generation; None for no limit. API functions will raise"
    )
    (templates / "client.py.jinja").write_text(client.replace(STOCK_TIMEOUT_TEXT, text))


def _write_package_init(document: dict[str, Any], target: Path) -> None:
    """Re-exports clients, calls, models and errors from the package, so that one import line is enough."""
    calls = {operation["operationId"]: operation["tags"][0] for _, operation in operations(document)}
    models = _exported(target / "models" / "__init__.py")
    raised = [name for name in _exported(target / "errors.py") if name[0].isupper()]
    clients = ["AuthenticatedClient", "Client"]
    sse = ["StreamError"] if _has_streams(document) else []
    names = [*clients, *calls, *models, *raised, *sse, "errors", "models"]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ContractError(f"names exported twice by {target.name}: {', '.join(sorted(twice))}")
    lines = [ast.get_source_segment(text := (target / "__init__.py").read_text(), ast.parse(text).body[0]) or ""]
    lines += ["from . import errors, models", f"from .client import {', '.join(clients)}"]
    lines += [f"from .api.{tag} import {call}" for call, tag in calls.items()]
    lines += [f"from .models import {', '.join(models)}", f"from .errors import {', '.join(raised)}"]
    lines += [f"from .sse import {', '.join(sse)}"] if sse else []
    lines += [f"__all__ = {tuple(sorted(names))!r}", ""]
    (target / "__init__.py").write_text("\n".join(lines))
    ruff = [str(Path(sys.executable).parent / "ruff")]
    for arguments in (["check", "--fix-only", "--select", "I"], ["format", "--line-length", "120"]):
        subprocess.run([*ruff, *arguments, "--isolated", "--quiet", str(target / "__init__.py")], check=True)


def _exported(module: Path) -> list[str]:
    """Names in `__all__` of a generated module."""
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def _has_streams(document: dict[str, Any]) -> bool:
    responses = (response for _, operation in operations(document) for response in operation["responses"].values())
    return any("text/event-stream" in response.get("content", {}) for response in responses)


def _run_generator(source: Path, config: Path, templates: Path, target: Path) -> None:
    # the generator and ruff, which it runs, are beside this Python
    tools = Path(sys.executable).parent
    command = [str(tools / "openapi-python-client"), "generate", "--meta", "none", "--overwrite"]
    command += ["--fail-on-warning", "--path", str(source), "--output-path", str(target)]
    command += ["--config", str(config), "--custom-template-path", str(templates)]
    path = f"{tools}{os.pathsep}{os.environ.get('PATH', '')}"
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": path})
    if result.returncode:
        raise ContractError(f"the generator failed:\n{result.stdout}{result.stderr}")


def files(folder: Path) -> dict[str, str]:
    """Text of each file under a client's folder by its relative path."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and ".ruff_cache" not in path.parts
    }


def differences(name: str, committed: str, current: str, limit: int = 40) -> list[str]:
    lines = difflib.unified_diff(
        committed.splitlines(), current.splitlines(), f"{name} (committed)", f"{name} (now)", lineterm=""
    )
    shown = list(lines)
    return shown if len(shown) <= limit else [*shown[:limit], f"… {len(shown) - limit} more lines"]


def write_client(service: Service) -> None:
    """Updates the package file by file, so that it can be imported at any time."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / service.package
        generate(service, target)
        now, then = files(target), files(service.client) if service.client.exists() else {}
    for path in then.keys() - now.keys():
        (service.client / path).unlink()
    for path, text in now.items():
        if then.get(path) != text:
            (service.client / path).parent.mkdir(parents=True, exist_ok=True)
            (service.client / path).write_text(text)


def check(service: Service) -> list[str]:
    """Differences, as lines to print; empty if document and client are up to date."""
    name = f"schemas/openapi/{service.document}"
    if not service.yaml.exists():
        return [f"{name} is missing", "write it with `make openapi clients`"]
    committed, current = service.yaml.read_text(), as_yaml(current_document(service))
    if committed != current:
        shown = differences(name, committed, current)
        return [*shown, "the contract changed; if this is intended, run `make openapi clients`"]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / service.package
        generate(service, target)
        now, then = files(target), files(service.client)
    changed = sorted(path for path in now.keys() | then.keys() if now.get(path) != then.get(path))
    if not changed:
        return []
    shown = [
        line
        for path in changed[:5]
        for line in differences(f"{service.package}/{path}", then.get(path, ""), now.get(path, ""))
    ]
    return [
        *shown,
        f"{len(changed)} files differ: {', '.join(changed)}",
        "update them with `make clients`",
    ]


def write_typescript(services: Iterable[Service]) -> None:
    """Write the TypeScript types of services; without Node, print that they were not written."""
    try:
        for service in services:
            text = typescript_client.types(service.yaml)
            typescript_client.file_of(service.name).write_text(text, encoding="utf-8")
    except typescript_client.NodeError as error:
        print(f"contracts: TYPESCRIPT WAS NOT WRITTEN, packages/clients/typescript is as before: {error}")


def check_typescript(services: Iterable[Service]) -> list[str]:
    """Differences in the TypeScript types; without Node, print that they were not checked."""
    try:
        for service in services:
            file = typescript_client.file_of(service.name)
            committed = file.read_text(encoding="utf-8") if file.exists() else ""
            if committed != (current := typescript_client.types(service.yaml)):
                shown = differences(f"typescript/{file.name}", committed, current)
                return [*shown, "update it with `make clients`"]
    except typescript_client.NodeError as error:
        print(f"contracts: TYPESCRIPT WAS NOT CHECKED: {error}")
    return []


def main() -> int:
    parser = argparse.ArgumentParser(description="OpenAPI documents and clients of the services.")
    parser.add_argument("command", choices=("openapi", "clients", "check"))
    parser.add_argument("names", nargs="*", metavar="service", help="inference, autointerp or webapp; default: all")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - {service.name for service in SERVICES}:
        parser.error(f"no service {', '.join(sorted(unknown))}")
    n_stale = 0
    services = [service for service in SERVICES if not arguments.names or service.name in arguments.names]
    for service in services:
        try:
            if arguments.command == "openapi":
                service.yaml.parent.mkdir(parents=True, exist_ok=True)
                service.yaml.write_text(as_yaml(current_document(service)))
            elif arguments.command == "clients":
                write_client(service)
            elif lines := check(service):
                print(f"contracts: {service.name}:", *lines, sep="\n")
                n_stale += 1
        except ContractError as error:
            print(f"contracts: {error}")
            return 1
    if arguments.command == "clients":
        write_typescript(services)
    elif arguments.command == "check" and (lines := check_typescript(services)):
        print("contracts: typescript:", *lines, sep="\n")
        n_stale += 1
    return 1 if n_stale else 0


if __name__ == "__main__":
    sys.exit(main())
