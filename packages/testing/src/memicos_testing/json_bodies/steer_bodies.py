"""Steering requests to the webapp, and the fake inference server's responses."""

from typing import Any

FEATURE = {"modelId": "small", "layer": "1-res", "index": 5, "strength": 20.5}
TURNS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]


def completion(**changes: Any) -> dict[str, Any]:
    return {"modelId": "small", "prompt": "Once", "n_tokens": 4, "features": [FEATURE], **changes}


def chat(**changes: Any) -> dict[str, Any]:
    body = {"modelId": "small", "n_tokens": 4, "features": [FEATURE], "defaultChatMessages": TURNS}
    return {**body, "steeredChatMessages": TURNS, **changes}


def numbered_words(kind: str, count: int) -> str:
    return "".join(f" {kind}{i}" for i in range(count))
