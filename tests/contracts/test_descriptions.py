"""Fields of the documents have descriptions: all of autointerp, and all that the feature JSON holds."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from contracts import SERVICES

DOCUMENTS = {service.name: yaml.safe_load(service.yaml.read_text()) for service in SERVICES}
AUTOINTERP = tuple(DOCUMENTS["autointerp"]["components"]["schemas"])
FEATURE = ("FeatureBody", "ModelBody", "SourceBody", "SourceSetBody", "ActivationRow", "ExplanationBody", "Named")


def undescribed(document: dict[str, Any], schema: str) -> Iterator[str]:
    for name, field in document["components"]["schemas"][schema]["properties"].items():
        if not field.get("description", "").strip():
            yield f"{schema}.{name}"


@pytest.mark.parametrize(
    ("service", "schema"),
    [("autointerp", schema) for schema in AUTOINTERP] + [("webapp", schema) for schema in FEATURE],
)
def test_every_field_has_a_description(service: str, schema: str) -> None:
    assert list(undescribed(DOCUMENTS[service], schema)) == []


@pytest.mark.parametrize("service", ["webapp", "autointerp"])
def test_every_route_has_a_description(service: str) -> None:
    for path, methods in DOCUMENTS[service]["paths"].items():
        for method, operation in methods.items():
            assert operation.get("description", "").strip(), f"{method} {path}"
