"""Example requests of the API documentation, for the demo; `/api-doc` replaces the names by those of the server."""

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


def _example(**fields: JsonValue) -> JsonDict:
    return {"examples": [fields]}


NEW_ACTIVATION = _example(feature=_FEATURE, customText="Please wash the dishes.", ignoreBos=True)
SEARCH_TEXT = _example(modelId=MODEL, sourceSet="res-4k", text="Call me Ishmael.", densityThreshold=0.01, numResults=10)
SEARCH_TOKENS = _example(modelId=MODEL, source=SOURCE, text="May 4", numResults=3)
SEARCH_ALL = _example(**_QUERY)
SEARCH_RELEASE = _example(**_QUERY, releaseName="memicos-demo")
SEARCH_MODEL = _example(**_QUERY, modelId=MODEL)
SEARCH_SOURCES = _example(**_QUERY, modelId=MODEL, layers=[SOURCE])
GENERATE = _example(**_FEATURE, explanationType="eleuther_acts_top20")
SCORE = _example(explanationId=1, scorerType="eleuther_embedding")
CHOOSE_LABEL = _example(chosen=True)
STEER = _example(**_STEER, prompt="My favourite hobby is")
STEER_CHAT = _example(**_STEER, defaultChatMessages=_MESSAGES, steeredChatMessages=_MESSAGES)
_VECTOR: dict[str, JsonValue] = {"modelId": MODEL, "source": "0-vectors-resid-post", "index": "123456789"}
NEW_VECTOR = _example(
    modelId=MODEL,
    layerNumber=0,
    hookType="hook_resid_post",
    vector=[0.5, -0.25, 0.0],
    vectorLabel="politeness",
    vectorDefaultSteerStrength=60,
)
VECTOR = _example(**_VECTOR)
UPLOAD_ACTIVATIONS = _example(**_VECTOR, activations=[{"tokens": ["Thank", " you"], "values": [1.5, 3.25]}])
