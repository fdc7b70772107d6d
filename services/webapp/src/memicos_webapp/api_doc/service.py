"""The OpenAPI document as the documentation page shows it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog import repository as catalog
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.features import repository as features

Schema = dict[str, Any]


@dataclass(frozen=True)
class Field:
    name: str
    type: str
    required: bool
    note: str


@dataclass(frozen=True)
class Shape:
    """An object that fields have: `name` is its schema's."""

    name: str
    description: str
    fields: list[Field]


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    id: str
    summary: str
    description: str
    parameters: list[Field]
    body: list[Field]
    answers: list[Shape]
    """What a 200 may be: one shape, or one of several."""
    errors: dict[str, str]
    """What each error status means, by status."""
    events: dict[str, str]
    """Schemas of the data of server-sent events by the event's name; empty without a stream."""
    curl: str


@dataclass(frozen=True)
class Documentation:
    tags: dict[str, list[Operation]]
    shapes: dict[str, Shape]
    """Those that the operations' fields name, by name, and those that these name in turn."""


async def names(session: AsyncSession, viewer: Viewer) -> dict[str, Any]:
    """Values for fields of examples that name what a server has: of a feature here, nothing where there is none."""
    found = await features.sample(session, viewer, 1, densest=0.01) or await features.sample(
        session, viewer, 1, densest=1
    )
    source = await catalog.source(session, viewer, found[0].model_id, found[0].name) if found else None
    if source is None:
        return {}
    rows = (await features.explanations(session, source, [found[0].index])).get(found[0].index, [])
    return {
        **({"explanationId": rows[0].id} if rows else {}),
        "modelId": source.model_id,
        "model": source.model_id,
        "layer": source.name,
        "source": source.name,
        "layers": [source.name],
        "index": found[0].index,
        "sourceSet": source.set_name,
        "releaseName": source.release_id,
    }


def _alternatives(schema: Schema) -> list[Schema]:
    return schema.get("anyOf") or schema.get("oneOf") or [schema]


def type_of(schema: Schema) -> str:
    """A schema's type in a few words: `array of string`, `string or null`, a component's name."""
    if "$ref" in schema:
        return schema["$ref"].rsplit("/", 1)[1]
    alternatives = _alternatives(schema)
    if alternatives != [schema]:
        return " or ".join(dict.fromkeys(map(type_of, alternatives)))
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        return f"array of {type_of(schema.get('items', {}))}"
    return schema.get("type", "anything")


def _range(low: float | None, high: float | None, unit: str) -> str:
    first, last = (None if one is None else int(one) if float(one).is_integer() else one for one in (low, high))
    if last is None:
        return f"{first} or more {unit}".strip()
    return (f"at most {last} {unit}" if first is None else f"{first} to {last} {unit}").strip()


_RANGES = (("minimum", "maximum", ""), ("minLength", "maxLength", "characters"), ("minItems", "maxItems", "entries"))


def _note(schema: Schema) -> str:
    notes = [schema["description"]] if schema.get("description") else []
    for one in _alternatives(schema):
        notes += [_range(one.get(low), one.get(high), unit) for low, high, unit in _RANGES if low in one or high in one]
    if schema.get("default") not in (None, [], {}):
        notes.append(f"default {json.dumps(schema['default'], ensure_ascii=False)}")
    return "; ".join(notes)


def _shown_with(example: Any, known: Mapping[str, Any]) -> Any:
    """An example with the server's own names in place of those that it may not have."""
    if isinstance(example, dict):
        return {name: known.get(name, _shown_with(one, known)) for name, one in example.items()}
    if isinstance(example, list):
        return [_shown_with(one, known) for one in example]
    return example


def _content(part: Schema) -> Schema:
    return next(iter(part.get("content", {}).values()), {}).get("schema", {})


def _event_schemas(operation: Schema) -> dict[str, Schema]:
    content = operation["responses"].get("200", {}).get("content", {})
    return content.get("text/event-stream", {}).get("x-events", {})


class Reader:
    """Reads one document; `known` as `names` gives it, `base` is the address that examples call."""

    def __init__(self, document: Schema, base: str, known: Mapping[str, Any]) -> None:
        self.document = document
        self.components: dict[str, Schema] = document["components"]["schemas"]
        self.base = base.rstrip("/")
        self.known = known

    def documentation(self) -> Documentation:
        tags: dict[str, list[Operation]] = {}
        for path, methods in self.document["paths"].items():
            for method, one in methods.items():
                tags.setdefault((one.get("tags") or ["other"])[0], []).append(self._operation(path, method, one))
        operations = [one for several in tags.values() for one in several]
        answers = [shape for one in operations for shape in one.answers]
        named = [field.type for one in operations for field in one.body]
        named += [field.type for shape in answers for field in shape.fields]
        named += [schema for one in operations for schema in one.events.values()]
        # such as `array of Activation`
        named += [shape.name for shape in answers if not shape.fields]
        return Documentation(tags, self._shapes(named))

    def _operation(self, path: str, method: str, one: Schema) -> Operation:
        body = self._resolved(_content(one.get("requestBody", {})))
        answer = _content(one["responses"].get("200", {}))
        parameters = one.get("parameters", [])
        return Operation(
            method=method.upper(),
            path=path,
            id=one["operationId"],
            summary=one.get("summary", ""),
            description=one.get("description", ""),
            parameters=[
                Field(p["name"], type_of(p["schema"]), p.get("required", False), _note({**p["schema"], **p}))
                for p in parameters
            ],
            body=self._fields(body),
            answers=[self._shape(type_of(each), self._resolved(each)) for each in _alternatives(answer)],
            errors={
                status: response["description"]
                for status, response in sorted(one["responses"].items())
                if status.startswith(("4", "5"))
            },
            events={name: type_of(schema) for name, schema in _event_schemas(one).items()},
            curl=self._curl(method, path, parameters, body),
        )

    def _resolved(self, schema: Schema) -> Schema:
        return self.components[type_of(schema)] if "$ref" in schema else schema

    def _fields(self, schema: Schema) -> list[Field]:
        required = schema.get("required", [])
        return [
            Field(name, type_of(one), name in required, _note(one))
            for name, one in schema.get("properties", {}).items()
        ]

    def _shape(self, name: str, schema: Schema) -> Shape:
        return Shape(name, schema.get("description", ""), self._fields(schema))

    def _shapes(self, types: list[str]) -> dict[str, Shape]:
        found: dict[str, Shape] = {}
        rest = list(types)
        while rest:
            for name in rest.pop(0).split():
                if name in self.components and name not in found:
                    found[name] = self._shape(name, self.components[name])
                    rest += [field.type for field in found[name].fields]
        return found

    def _curl(self, method: str, path: str, parameters: list[Schema], body: Schema) -> str:
        for one in parameters:
            value = self.known.get(one["name"], one["schema"]["examples"][0])
            path = path.replace(f"{{{one['name']}}}", str(value))
        if not body:
            return f"curl '{self.base}{path}'" + (f" -X {method.upper()}" if method != "get" else "")
        data = json.dumps(_shown_with(body["examples"][0], self.known), ensure_ascii=False).replace("'", "'\\''")
        return f"curl '{self.base}{path}' -H 'Content-Type: application/json' \\\n  -d '{data}'"
