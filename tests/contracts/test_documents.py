"""Rules for the three OpenAPI documents beyond validity, for usable generated clients."""

import re
from collections import Counter
from typing import Any

import contracts
import pytest
import yaml


@pytest.fixture(params=contracts.SERVICES, ids=lambda service: service.name)
def document(request: pytest.FixtureRequest) -> dict[str, Any]:
    return yaml.safe_load(request.param.yaml.read_text())


def test_operation_ids_are_unique_and_readable(document: dict[str, Any]) -> None:
    ids = Counter(operation["operationId"] for _, operation in contracts.operations(document))
    assert ids and max(ids.values()) == 1
    assert all(re.fullmatch(r"[a-z][a-z_]{2,40}", name) for name in ids)


def test_operations_have_one_tag_and_a_summary(document: dict[str, Any]) -> None:
    for location, operation in contracts.operations(document):
        assert len(operation["tags"]) == 1, location
        assert operation.get("summary"), location


def test_bodies_and_responses_are_named_and_errors_share_one_schema(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in document["components"]["schemas"]
    for location, operation in contracts.operations(document):
        contents = [response["content"] for response in operation["responses"].values() if "content" in response]
        if body := operation.get("requestBody"):
            contents.append(body["content"])
        for content in contents:
            for kind, media in content.items():
                if media.get("schema", {}).get("format") == "binary":
                    continue
                events = media.get("x-events", {}).values()
                for part in events or media["schema"].get("anyOf", [media["schema"]]):
                    assert "$ref" in part.get("items", part), f"{location}: {kind} has no named model"
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                schema = response["content"]["application/json"]["schema"]
                assert schema["$ref"].endswith("/ErrorBody"), f"{location}: {status}"


def test_operations_with_a_body_document_its_errors(document: dict[str, Any]) -> None:
    for location, operation in contracts.operations(document):
        if "requestBody" in operation:
            assert {"400", "413", "422"} <= operation["responses"].keys(), location


def test_events_are_described_one_by_one(document: dict[str, Any]) -> None:
    for location, operation in contracts.operations(document):
        media = operation["responses"].get("200", {}).get("content", {}).get("text/event-stream")
        if media is None:
            continue
        assert "schema" not in media, f"{location}: a schema of the whole stream, which no client reads at once"
        described = {event["properties"]["event"]["const"] for event in media["itemSchema"]["oneOf"]}
        assert described == media["x-events"].keys(), location
        for name, field in media["x-event-fields"].items():
            assert name in described and field in contracts.request_fields(document, operation), location
