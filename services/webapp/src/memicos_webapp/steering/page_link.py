"""Links to the steer page: the query holds all settings and the conversation of a chat.

`/{model}/steer?feature=15-res-4k/87@60&feature=…&prompt=…&temperature=…`, or `?source=…&index=…&strength=…` for one
feature, as other sites link to such a page. Settings at their default are left out.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode

from fastapi import Request
from pydantic import BaseModel, Field, Json, ValidationError

from memicos_webapp.formatting import url_segment
from memicos_webapp.inference.prompts import ChatMessage
from memicos_webapp.steering.schemas import (
    SteerChatRequest,
    SteerFeature,
    SteerMethod,
    SteerRequest,
    SteerSettings,
)
from memicos_webapp.validation import describe, read_number

Mode = Literal["completion", "chat"]

MAX_CHAT_CHARACTERS = 20_000
"""Largest number of characters of a conversation's JSON in a link; servers refuse much longer ones."""


class ChatHistory(BaseModel):
    """The messages before `prompt`, one list for each column: the columns differ from the first answer on."""

    DEFAULT: list[ChatMessage] = []
    STEERED: list[ChatMessage] = []


class PageSettings(BaseModel):
    """Settings of the page that a link may have, with the page's defaults.

    With `continue_final_message` the model continues its last message in `chat` after `answer` is added to it. Where
    there is none, `answer` is the beginning of its answer to `prompt`.
    """

    mode: Mode = "completion"
    prompt: str = ""
    n_tokens: int = Field(default=64, ge=1)
    temperature: float = Field(default=0.5, ge=0, le=2)
    freq_penalty: float = Field(default=1.0, ge=-2, le=2)
    seed: int = Field(default=16, ge=-100_000_000, le=100_000_000)
    strength_multiplier: float = Field(default=1.0, ge=0, le=10)
    steer_method: SteerMethod = "SIMPLE_ADDITIVE"
    steer_special_tokens: bool = True
    continue_final_message: bool = False
    answer: str = ""
    chat: Json[ChatHistory] = ChatHistory()


DEFAULTS = PageSettings()


@dataclass(frozen=True)
class LinkedFeature:
    """A feature that a link names; None for a strength is the page's default."""

    source: str
    index: int
    strength: float | None

    @property
    def name(self) -> str:
        return f"{self.source}/{self.index}"


@dataclass(frozen=True)
class PageLink:
    """A link as it was read; `problems` are messages about the parts of it that are wrong."""

    settings: PageSettings
    features: list[LinkedFeature]
    problems: list[str] = field(default_factory=list)


_FEATURE = re.compile(r"(?P<source>[^/@\s]+)/(?P<index>[0-9]{1,9})(?:@(?P<strength>.+))?")


def read_link(request: Request) -> PageLink:
    """The link in the request's query. Wrong parts get a problem each, and the default."""
    query = request.query_params
    problems = []
    names = [text for text in query.getlist("feature") if text]
    if query.get("source") and query.get("index"):
        strength = f"@{query['strength']}" if query.get("strength") else ""
        names.append(f"{query['source']}/{query['index']}{strength}")
    features = []
    for name in names:
        match = _FEATURE.fullmatch(name)
        if match is None:
            problems.append(f"“{name}” is not a feature: write it as 15-res-4k/87 or 15-res-4k/87@60.")
            continue
        feature = LinkedFeature(match["source"], int(match["index"]), _number(match["strength"]))
        if match["strength"] and feature.strength is None:
            problems.append(f"“{match['strength']}” is not a number; the default strength of {feature.name} is used.")
        features.append(feature)
    values = {name: query[name] for name in PageSettings.model_fields if query.get(name)}
    while True:
        try:
            return PageLink(PageSettings.model_validate(values), features, problems)
        except ValidationError as error:
            problems.append(f"In the address: {describe(error.errors())}")
            for detail in error.errors():
                values.pop(str(detail["loc"][0]), None)


def _number(text: str | None) -> float | None:
    number = read_number(text or "")
    return number if number is not None and math.isfinite(number) else None


def completion_link(request: Request, body: SteerRequest) -> str:
    """A link to the page with the settings of a request to `/api/steer`."""
    return _link(request, body, body.features, mode="completion", prompt=body.prompt)


def chat_link(request: Request, body: SteerChatRequest) -> str:
    """A link to the page with the settings of a request to `/api/steer-chat`: its last message is in the prompt field.

    With `continue_final_message` the field is empty, and the conversation ends with the message that is continued. A
    conversation too long for a link is left out, but for the message in the field.
    """
    columns = body.default_chat_messages, body.steered_chat_messages
    (*default, default_last), (*steered, steered_last) = columns
    # the page has one box for both columns
    prompt = default_last.content if default_last == steered_last and default_last.role == "user" else ""
    if prompt:
        history = ChatHistory(DEFAULT=default, STEERED=steered)
    else:
        history = ChatHistory(DEFAULT=columns[0], STEERED=columns[1])
    chat = history.model_dump_json()
    chat_field = {"chat": chat} if len(chat) <= MAX_CHAT_CHARACTERS else {}
    return _link(request, body, body.features, mode="chat", prompt=prompt, **chat_field)


def _link(request: Request, body: SteerSettings, features: list[SteerFeature], mode: Mode, **fields: str) -> str:
    pairs: list[tuple[str, Any]] = [
        ("feature", f"{feature.source}/{feature.index}@{feature.strength:g}") for feature in features
    ]
    values = body.model_dump(include=set(PageSettings.model_fields))
    settings = PageSettings.model_validate({**values, **fields, "mode": mode})
    pairs += settings.model_dump(exclude_defaults=True, round_trip=True).items()
    return f"{request.base_url}{url_segment(body.model_id)}/steer?{urlencode(pairs)}"
