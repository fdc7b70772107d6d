"""The steer page's address holds all of its settings, and the conversation of a chat.

`/{model}/steer?feature=15-res-4k/87@60&feature=…&prompt=…&temperature=…`; also `?source=…&index=…&strength=…`, the form
that other pages of this kind link to, and their `steerMethod`-less defaults. What is at its default is left out.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode

from fastapi import Request
from pydantic import BaseModel, Field, Json, ValidationError

from memicos_webapp.formatting import url_segment
from memicos_webapp.steering.schemas import (
    ChatMessage,
    SteerChatRequest,
    SteerFeature,
    SteerMethod,
    SteerRequest,
    SteerSettings,
)
from memicos_webapp.validation import describe

Mode = Literal["completion", "chat"]

LONGEST_CHAT = 20_000
"""Characters of a conversation's JSON that an address carries; servers refuse much longer ones."""


class Talk(BaseModel):
    """A conversation before `prompt`, one list a column: they part ways at the first answer."""

    DEFAULT: list[ChatMessage] = []
    STEERED: list[ChatMessage] = []


class PageSettings(BaseModel):
    """Settings of the page that its address may carry, with the page's defaults."""

    mode: Mode = "completion"
    prompt: str = ""
    n_tokens: int = Field(default=64, ge=1)
    temperature: float = Field(default=0.5, ge=0, le=2)
    freq_penalty: float = Field(default=1.0, ge=-2, le=2)
    seed: int = Field(default=16, ge=-100_000_000, le=100_000_000)
    strength_multiplier: float = Field(default=1.0, ge=0, le=10)
    steer_method: SteerMethod = "SIMPLE_ADDITIVE"
    steer_special_tokens: bool = True
    chat: Json[Talk] = Talk()


DEFAULTS = PageSettings()


@dataclass(frozen=True)
class Wanted:
    """A feature that an address names; without a strength the page takes its default."""

    source: str
    index: int
    strength: float | None

    @property
    def name(self) -> str:
        return f"{self.source}/{self.index}"


@dataclass(frozen=True)
class Address:
    """What an address of the page says; `problems` are what it says wrong, in words."""

    settings: PageSettings
    features: list[Wanted]
    problems: list[str] = field(default_factory=list)


_FEATURE = re.compile(r"(?P<source>[^/@\s]+)/(?P<index>\d{1,9})(?:@(?P<strength>.+))?")


def read(request: Request) -> Address:
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
            problems.append(f"“{name}” is no feature: it is written 15-res-4k/87 or 15-res-4k/87@60.")
            continue
        wanted = Wanted(match["source"], int(match["index"]), _number(match["strength"]))
        if match["strength"] and wanted.strength is None:
            problems.append(f"“{match['strength']}” is no strength of {wanted.name}, which has its default here.")
        features.append(wanted)
    given = {name: query[name] for name in PageSettings.model_fields if query.get(name)}
    while True:
        try:
            return Address(PageSettings.model_validate(given), features, problems)
        except ValidationError as error:
            # what is wrong is said and left at its default
            problems.append(f"In the address: {describe(error.errors())}")
            for one in error.errors():
                given.pop(str(one["loc"][0]), None)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "nan")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def share_completion(request: Request, body: SteerRequest) -> str:
    """The page's address with the settings of a request to `/api/steer`."""
    return _share(request, body, body.features, mode="completion", prompt=body.prompt)


def share_chat(request: Request, body: SteerChatRequest) -> str:
    """The page's address with the settings of a request to `/api/steer-chat`: what was said, ready to be sent again.

    A conversation too long for an address is left out, but for its last message.
    """
    columns = body.default_chat_messages, body.steered_chat_messages
    (*default, last), (*steered, other) = columns
    # the page has one box for both columns
    prompt = last.content if last == other and last.role == "user" else ""
    talk = Talk(DEFAULT=default, STEERED=steered) if prompt else Talk(DEFAULT=columns[0], STEERED=columns[1])
    chat = talk.model_dump_json()
    kept = {"chat": chat} if len(chat) <= LONGEST_CHAT else {}
    return _share(request, body, body.features, mode="chat", prompt=prompt, **kept)


def _share(request: Request, body: SteerSettings, features: list[SteerFeature], mode: Mode, **fields: str) -> str:
    pairs: list[tuple[str, Any]] = [("feature", f"{one.source}/{one.index}@{one.strength:g}") for one in features]
    values = body.model_dump(include=set(PageSettings.model_fields))
    settings = PageSettings.model_validate({**values, **fields, "mode": mode})
    pairs += settings.model_dump(exclude_defaults=True, round_trip=True).items()
    return f"{request.base_url}{url_segment(body.model_id)}/steer?{urlencode(pairs)}"
