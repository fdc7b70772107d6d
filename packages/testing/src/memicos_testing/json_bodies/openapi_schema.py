"""Whether JSON is what an OpenAPI document says it is, in as much of JSON Schema as our documents use."""

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
    """`schema` itself, or what it refers to."""
    if "$ref" not in schema:
        return schema
    found: Any = document
    for step in schema["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


def misfits(value: Any, schema: dict[str, Any], document: dict[str, Any], where: str = "") -> Iterator[str]:
    """What in `value` is not as `schema` has it; an object's property that it does not name is a misfit."""
    schema = resolved(schema, document)
    if "anyOf" in schema:
        each = [list(misfits(value, one, document, where)) for one in schema["anyOf"]]
        if all(each):
            yield from min(each, key=len)
        return
    kind = schema.get("type")
    if kind and (not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        yield f"{where}: {value!r} is no {kind}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is none of {schema['enum']}"
    if "const" in schema and value != schema["const"]:
        yield f"{where}: {value!r} is not {schema['const']!r}"
    if isinstance(value, list):
        items = schema.get("prefixItems")
        if items and len(items) != len(value):
            yield f"{where}: {len(value)} items"
        for number, one in enumerate(value):
            yield from misfits(one, items[number] if items else schema["items"], document, f"{where}.{number}")
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        yield from (f"{where}: lacks {name}" for name in schema.get("required", ()) if name not in value)
        for name, one in value.items():
            inner = properties.get(name, schema.get("additionalProperties"))
            if inner is None:
                yield f"{where}: has {name}"
            elif inner is not True:
                yield from misfits(one, inner, document, f"{where}.{name}")
