"""The OpenAPI document as the documentation page shows it."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Field:
    name: str
    type: str
    required: bool
    note: str


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    id: str
    summary: str
    description: str
    parameters: list[Field]
    body: list[Field]
    answer: list[Field]
    curl: str


def _named(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref", "")
    name = reference.removeprefix("#/components/schemas/")
    return document["components"]["schemas"][name] if reference else schema


def type_of(document: dict[str, Any], schema: dict[str, Any]) -> str:
    """A schema's type in a few words: `array of string`, `string or null`, a component's name."""
    if "$ref" in schema:
        return schema["$ref"].rsplit("/", 1)[1]
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(type_of(document, one) for one in schema[key]))
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        return f"array of {type_of(document, schema.get('items', {}))}"
    return schema.get("type", "anything")


_LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_SIZES = {"minLength": "at least {} characters", "maxLength": "at most {} characters"}


def _note(schema: dict[str, Any]) -> str:
    notes = [f"{sign} {schema[key]}" for key, sign in _LIMITS.items() if key in schema]
    notes += [words.format(schema[key]) for key, words in _SIZES.items() if key in schema]
    if schema.get("default") not in (None, [], {}):
        notes.append(f"default {json.dumps(schema['default'], ensure_ascii=False)}")
    text = schema.get("description", "")
    return "; ".join([text, *notes] if text else notes)


def _fields(document: dict[str, Any], schema: dict[str, Any]) -> list[Field]:
    schema = _named(document, schema)
    required = schema.get("required", [])
    return [
        Field(name, type_of(document, one), name in required, _note(one))
        for name, one in schema.get("properties", {}).items()
    ]


def sample(document: dict[str, Any], schema: dict[str, Any], depth: int = 0) -> Any:
    """A value that the schema takes: its example or default, else something plain of its type."""
    schema = _named(document, schema)
    for key in ("example", "default", "const"):
        if schema.get(key) is not None:
            return schema[key]
    if schema.get("examples"):
        return schema["examples"][0]
    if "enum" in schema:
        return schema["enum"][0]
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return sample(document, schema[key][0], depth)
    kind = schema.get("type")
    if kind == "object" and depth < 4:
        required = schema.get("required", [])
        return {
            name: sample(document, one, depth + 1)
            for name, one in schema.get("properties", {}).items()
            if name in required
        }
    if kind == "array":
        return [sample(document, schema["items"], depth + 1)] if depth < 4 else []
    return {"integer": 0, "number": 1.0, "boolean": True, "string": "text"}.get(kind or "", {})


def _content(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    content = part.get("content", {})
    return next(iter(content.values()), {}).get("schema", {})


def _curl(document: dict[str, Any], base: str, method: str, path: str, body: dict[str, Any]) -> str:
    address = f"{base.rstrip('/')}{path}"
    if method == "get":
        return f"curl '{address}'"
    data = json.dumps(sample(document, body), ensure_ascii=False).replace("'", "'\\''")
    return f"curl '{address}' -H 'Content-Type: application/json' \\\n  -d '{data}'"


def operations(document: dict[str, Any], base: str) -> dict[str, list[Operation]]:
    """Tag -> operations, in the document's order; `base` is the address that samples call."""
    found: dict[str, list[Operation]] = {}
    for path, methods in document["paths"].items():
        for method, one in methods.items():
            body = _content(document, one.get("requestBody", {}))
            answer = _content(document, one["responses"].get("200", {}))
            parameters = [
                Field(p["name"], type_of(document, p["schema"]), p.get("required", False), _note(p["schema"]))
                for p in one.get("parameters", [])
            ]
            text = one.get("description", "")
            tag = (one.get("tags") or ["other"])[0]
            found.setdefault(tag, []).append(
                Operation(
                    method.upper(), path, one["operationId"], one.get("summary", ""), text, parameters,
                    _fields(document, body), _fields(document, answer),
                    _curl(document, base, method, path, body),
                )
            )  # fmt: skip
    return found
