"""The contents of the documentation page, read from the OpenAPI document."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

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
    """An object of the API; `name` is that of its schema."""

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
    responses: list[Shape]
    """The object of a successful response; several where the response is one of them."""
    errors: dict[str, str]
    """Meaning of each error, by status."""
    events: dict[str, str]
    """Schemas of the data of server-sent events by the event's name; empty without a stream."""
    curl: str


@dataclass(frozen=True)
class Documentation:
    tags: dict[str, list[Operation]]
    shapes: dict[str, Shape]
    """The objects that fields of operations refer to, directly or through other objects, by name."""


async def example_names(session: AsyncSession, viewer: Viewer) -> dict[str, Any]:
    """Values for fields of examples, from a feature of this server; empty where there is none."""
    sample = await features.sample(session, viewer, 1, max_density=0.01) or await features.sample(
        session, viewer, 1, max_density=1
    )
    source = await catalog.source(session, viewer, sample[0].model_id, sample[0].name) if sample else None
    if source is None:
        return {}
    rows = (await features.explanations(session, source, [sample[0].index])).get(sample[0].index, [])
    return {
        **({"explanationId": rows[0].id} if rows else {}),
        "modelId": source.model_id,
        "model": source.model_id,
        "layer": source.name,
        "source": source.name,
        "layers": [source.name],
        "index": sample[0].index,
        "sourceSet": source.set_name,
        "releaseName": source.release_id,
    }


def _alternatives(schema: Schema) -> list[Schema]:
    return schema.get("anyOf") or schema.get("oneOf") or [schema]


def type_of(schema: Schema) -> str:
    """A schema's type as text: `array of string`, `string or null`, a component's name."""
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
    first, last = (
        None if bound is None else int(bound) if float(bound).is_integer() else bound for bound in (low, high)
    )
    if last is None:
        return f"{first} or more {unit}".strip()
    return (f"at most {last} {unit}" if first is None else f"{first} to {last} {unit}").strip()


_RANGES = (("minimum", "maximum", ""), ("minLength", "maxLength", "characters"), ("minItems", "maxItems", "entries"))


def _note(schema: Schema) -> str:
    notes = [schema["description"]] if schema.get("description") else []
    for alternative in _alternatives(schema):
        notes += [
            _range(alternative.get(low), alternative.get(high), unit)
            for low, high, unit in _RANGES
            if low in alternative or high in alternative
        ]
    if schema.get("default") not in (None, [], {}):
        notes.append(f"default {json.dumps(schema['default'], ensure_ascii=False)}")
    return "; ".join(notes)


def _with_names(example: Any, names: Mapping[str, Any]) -> Any:
    """An example with names that exist on this server."""
    if isinstance(example, dict):
        return {name: names.get(name, _with_names(field, names)) for name, field in example.items()}
    if isinstance(example, list):
        return [_with_names(item, names) for item in example]
    return example


def _content(part: Schema) -> Schema:
    return next(iter(part.get("content", {}).values()), {}).get("schema", {})


def _success(operation: Schema) -> Schema:
    """The response with a status of 2xx; empty where there is none."""
    return next((part for status, part in operation["responses"].items() if status.startswith("2")), {})


def _event_schemas(operation: Schema) -> dict[str, Schema]:
    content = _success(operation).get("content", {})
    return content.get("text/event-stream", {}).get("x-events", {})


class DocumentReader:
    """Reads one document. `names` has the values of `example_names`; `base` is the address that examples call."""

    def __init__(self, document: Schema, base: str, names: Mapping[str, Any]) -> None:
        self.document = document
        self.components: dict[str, Schema] = document["components"]["schemas"]
        self.base = base.rstrip("/")
        self.names = names

    def documentation(self) -> Documentation:
        tags: dict[str, list[Operation]] = {}
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                tag = (operation.get("tags") or ["other"])[0]
                tags.setdefault(tag, []).append(self._operation(path, method, operation))
        operations = [operation for tag_operations in tags.values() for operation in tag_operations]
        responses = [shape for operation in operations for shape in operation.responses]
        types = [field.type for operation in operations for field in operation.body]
        types += [field.type for shape in responses for field in shape.fields]
        types += [schema for operation in operations for schema in operation.events.values()]
        # such as `array of Activation`
        types += [shape.name for shape in responses if not shape.fields]
        return Documentation(tags, self._shapes(types))

    def _operation(self, path: str, method: str, operation: Schema) -> Operation:
        body = self._resolved(_content(operation.get("requestBody", {})))
        response = _content(_success(operation))
        parameters = operation.get("parameters", [])
        return Operation(
            method=method.upper(),
            path=path,
            id=operation["operationId"],
            summary=operation.get("summary", ""),
            description=operation.get("description", ""),
            parameters=[
                Field(p["name"], type_of(p["schema"]), p.get("required", False), _note({**p["schema"], **p}))
                for p in parameters
            ],
            body=self._fields(body),
            responses=[self._shape(type_of(schema), self._resolved(schema)) for schema in _alternatives(response)],
            errors={
                status: response["description"]
                for status, response in sorted(operation["responses"].items())
                if status.startswith(("4", "5"))
            },
            events={name: type_of(schema) for name, schema in _event_schemas(operation).items()},
            curl=self._curl(method, path, parameters, body),
        )

    def _resolved(self, schema: Schema) -> Schema:
        return self.components[type_of(schema)] if "$ref" in schema else schema

    def _fields(self, schema: Schema) -> list[Field]:
        required = schema.get("required", [])
        return [
            Field(name, type_of(field), name in required, _note(field))
            for name, field in schema.get("properties", {}).items()
        ]

    def _shape(self, name: str, schema: Schema) -> Shape:
        return Shape(name, schema.get("description", ""), self._fields(schema))

    def _shapes(self, types: list[str]) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {}
        pending = list(types)
        while pending:
            for name in pending.pop(0).split():
                if name in self.components and name not in shapes:
                    shapes[name] = self._shape(name, self.components[name])
                    pending += [field.type for field in shapes[name].fields]
        return shapes

    def _curl(self, method: str, path: str, parameters: list[Schema], body: Schema) -> str:
        headers = ""
        query: dict[str, str] = {}
        for parameter in parameters:
            if not parameter.get("required"):
                continue
            value = self.names.get(parameter["name"], parameter["schema"]["examples"][0])
            path = path.replace(f"{{{parameter['name']}}}", str(value))
            if parameter["in"] == "header":
                headers += f" \\\n  -H '{parameter['name']}: {value}'"
            elif parameter["in"] == "query":
                query[parameter["name"]] = str(value)
        if query:
            path = f"{path}?{urlencode(query)}"
        if body.get("format") == "binary":
            return f"curl '{self.base}{path}' -X {method.upper()}{headers} \\\n  --data-binary @part"
        if not body:
            return f"curl '{self.base}{path}'" + (f" -X {method.upper()}" if method != "get" else "")
        data = json.dumps(_with_names(body["examples"][0], self.names), ensure_ascii=False).replace("'", "'\\''")
        return f"curl '{self.base}{path}' -H 'Content-Type: application/json' \\\n  -d '{data}'"
