"""Every field, parameter, route and error of the services' OpenAPI documents is described."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from contracts import SERVICES

DESCRIBED = ("webapp", "autointerp", "inference")
"""Services whose documents are checked."""

DOCUMENTS = {service.name: yaml.safe_load(service.yaml.read_text()) for service in SERVICES}
Operation = dict[str, Any]


def operations(service: str) -> Iterator[tuple[str, Operation]]:
    for path, methods in DOCUMENTS[service]["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def is_described(part: dict[str, Any]) -> bool:
    return bool(part.get("description", "").strip())


@pytest.mark.parametrize("service", DESCRIBED)
def test_every_field_has_a_description(service: str) -> None:
    missing = [
        f"{name}.{field}"
        for name, schema in DOCUMENTS[service]["components"]["schemas"].items()
        for field, part in schema.get("properties", {}).items()
        if not is_described(part)
    ]
    assert missing == []


@pytest.mark.parametrize("service", DESCRIBED)
def test_every_parameter_has_a_description(service: str) -> None:
    missing = [
        f"{name} {parameter['name']}"
        for name, operation in operations(service)
        for parameter in operation.get("parameters", [])
        if not is_described(parameter)
    ]
    assert missing == []


@pytest.mark.parametrize("service", DESCRIBED)
def test_every_route_has_a_description(service: str) -> None:
    assert [name for name, operation in operations(service) if not is_described(operation)] == []


@pytest.mark.parametrize("service", DESCRIBED)
def test_every_route_has_errors_with_a_meaning(service: str) -> None:
    """The standard phrases of statuses, which FastAPI inserts, do not count as a meaning."""
    for name, operation in operations(service):
        errors = {status: part["description"] for status, part in operation["responses"].items() if status[0] in "45"}
        assert errors or "requestBody" not in operation, name
        assert {status: text for status, text in errors.items() if not text or text == "Validation Error"} == {}, name


def test_every_route_of_the_webapp_has_a_summary_of_its_own() -> None:
    """FastAPI makes a summary from the function's name where a route has none; collapsed rows of /api-doc show it."""
    summaries = [operation["summary"] for _, operation in operations("webapp")]
    assert len(set(summaries)) == len(summaries)
    for name, operation in operations("webapp"):
        assert operation["summary"] != operation["operationId"].replace("_", " ").title(), name
