"""A validator for the part of JSON Schema that our OpenAPI documents use."""

from collections.abc import Iterator
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list,),
    "object": (dict,),
}


def resolved(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """`schema` itself, or the schema that its `$ref` names."""
    if "$ref" not in schema:
        return schema
    target: Any = document
    for step in schema["$ref"].removeprefix("#/").split("/"):
        target = target[step]
    return target


def misfits(value: Any, schema: dict[str, Any], document: dict[str, Any], location: str = "") -> Iterator[str]:
    """Violations of `schema` in `value`; a property that the schema does not name is a violation."""
    schema = resolved(schema, document)
    if "anyOf" in schema:
        problems_by_option = [list(misfits(value, option, document, location)) for option in schema["anyOf"]]
        if all(problems_by_option):
            yield from min(problems_by_option, key=len)
        return
    kind = schema.get("type")
    if kind and (not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        yield f"{location}: {value!r} is no {kind}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{location}: {value!r} is none of {schema['enum']}"
    if "const" in schema and value != schema["const"]:
        yield f"{location}: {value!r} is not {schema['const']!r}"
    if isinstance(value, list):
        items = schema.get("prefixItems")
        if items and len(items) != len(value):
            yield f"{location}: {len(value)} items"
        for number, item in enumerate(value):
            yield from misfits(item, items[number] if items else schema["items"], document, f"{location}.{number}")
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        yield from (f"{location}: lacks {name}" for name in schema.get("required", ()) if name not in value)
        for name, field in value.items():
            inner = properties.get(name, schema.get("additionalProperties"))
            if inner is None:
                yield f"{location}: has {name}"
            elif inner is not True:
                yield from misfits(field, inner, document, f"{location}.{name}")
