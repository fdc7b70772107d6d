"""OpenAPI of a route that responds with server-sent events."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

MESSAGE = "message"
"""Name of the events that are sent without one, as event parsers give it."""


def events_response(
    models: Mapping[str, type[BaseModel]], request_fields: Mapping[str, str]
) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route whose 200 response is a `text/event-stream` as well as JSON.

    The stream's `itemSchema` (OpenAPI 3.2) describes one event as it is read from the stream: its `data` is JSON.
    `x-events` has the schema of that JSON by the event's name, `x-event-fields` the names of the request's fields.

    Args:
        models: model of the JSON by the event's name; MESSAGE for events without a name.
        request_fields: by the event's name, the field of the request that asks for such events.
    """
    references = {name: {"$ref": f"#/components/schemas/{model.__name__}"} for name, model in models.items()}
    media = {
        "itemSchema": {"oneOf": [_event_schema(name, data) for name, data in references.items()]},
        "x-events": references,
        "x-event-fields": dict(request_fields),
    }
    return {200: {"content": {"text/event-stream": media}}}


def _event_schema(name: str, data: dict[str, str]) -> dict[str, Any]:
    json_text = {"type": "string", "contentMediaType": "application/json", "contentSchema": data}
    return {
        "type": "object",
        "properties": {"event": {"type": "string", "const": name}, "data": json_text},
        "required": ["data"] if name == MESSAGE else ["event", "data"],
    }
