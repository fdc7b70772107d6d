"""Requests that the API's documentation shows. They work on the demo; `/api-doc` puts the server's own names in."""

from pydantic import JsonValue
from pydantic.config import JsonDict

MODEL, SOURCE, INDEX = "smollm2-135m-it", "15-res-4k", 87

_FEATURE: dict[str, JsonValue] = {"modelId": MODEL, "layer": SOURCE, "index": INDEX}
_QUERY: dict[str, JsonValue] = {"query": "numbers and dates"}
_STEER: dict[str, JsonValue] = {
    "modelId": MODEL,
    "features": [{**_FEATURE, "strength": 150}],
    "n_tokens": 24,
    "temperature": 0,
}
_MESSAGES: list[JsonValue] = [{"role": "user", "content": "What should I do this weekend?"}]


def _shown(**fields: JsonValue) -> JsonDict:
    return {"examples": [fields]}


NEW_ACTIVATION = _shown(feature=_FEATURE, customText="Please wash the dishes.", ignoreBos=True)
SEARCH_TEXT = _shown(modelId=MODEL, sourceSet="res-4k", text="Call me Ishmael.", densityThreshold=0.01, numResults=10)
SEARCH_TOKENS = _shown(modelId=MODEL, source=SOURCE, text="May 4", numResults=3)
SEARCH_ALL = _shown(**_QUERY)
SEARCH_RELEASE = _shown(**_QUERY, releaseName="memicos-demo")
SEARCH_MODEL = _shown(**_QUERY, modelId=MODEL)
SEARCH_SOURCES = _shown(**_QUERY, modelId=MODEL, layers=[SOURCE])
GENERATE = _shown(**_FEATURE, explanationType="highlighted-tokens")
CHOOSE_LABEL = _shown(chosen=True)
STEER = _shown(**_STEER, prompt="My favourite hobby is")
STEER_CHAT = _shown(**_STEER, defaultChatMessages=_MESSAGES, steeredChatMessages=_MESSAGES)
