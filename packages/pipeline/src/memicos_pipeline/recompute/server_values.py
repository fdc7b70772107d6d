"""A feature's values as a webapp shows them: on the feature's examples, or on a prompt that the webapp runs."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import httpx
import numpy as np
from memicos_client import Client
from memicos_client.api.activation import new_activation
from memicos_client.api.feature import get_feature
from memicos_client.models import Activation, ChatMessage, ErrorBody, FeatureBody, FeatureId, NewActivation, Recipe
from memicos_client.types import Response

from memicos_pipeline.recompute.errors import RecomputeError, in_a_line
from memicos_pipeline.recompute.own_prompt import OwnPrompt

LOCAL_WEBAPP = "http://127.0.0.1:3000"
READ_SECONDS = 180.0
"""Longest wait for the webapp's response: it may have to run a text."""

T = TypeVar("T")


@dataclass(frozen=True)
class FeatureAddress:
    """A feature on the webapp at `base`."""

    base: str
    model: str
    source: str
    index: int

    def __str__(self) -> str:
        return f"{self.model}/{self.source}/{self.index} at {self.base}"


@dataclass(frozen=True)
class ServerText:
    """One text with the feature's `values` (T,) on its tokens; `name` is how the report calls it.

    `ignored` are the positions that take no part in the maximum.
    """

    name: str
    token_ids: list[int]
    tokens: list[str]
    values: np.ndarray
    ignored: frozenset[int] = frozenset()


@dataclass(frozen=True)
class ServerFeature:
    """A feature's values on its examples, or on the user's own `prompt`.

    Examples have no values at positions that the recipe leaves out; an own prompt has values at every position.
    """

    recipe: Recipe
    texts: list[ServerText]
    prompt: OwnPrompt | None = None


def address(text: str) -> FeatureAddress:
    """Parse the address of a feature's page or of its JSON, or `model/source/index` on the local webapp.

    Raises:
        RecomputeError: it is none of these.
    """
    base, path = LOCAL_WEBAPP, text
    if "://" in text or re.match(r"[\w.-]+:[0-9]+/", text):
        parts = urlsplit(text if "://" in text else f"http://{text}")
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise RecomputeError(f"{text} is no address of a feature: it has to begin with http:// or https://")
        base, path = f"{parts.scheme}://{parts.netloc}", parts.path
    segments = [unquote(segment) for segment in path.partition("?")[0].strip("/").split("/")]
    if len(segments) == 5 and segments[:2] == ["api", "feature"]:
        segments = segments[2:]
    if len(segments) != 3 or not all(segments) or not re.fullmatch(r"\d{1,9}", segments[2], re.ASCII):
        raise RecomputeError(
            f"{text} is no feature: give the address of its page, such as {LOCAL_WEBAPP}/<model>/<source>/<index>, or "
            "<model>/<source>/<index>"
        )
    return FeatureAddress(base, segments[0], segments[1], int(segments[2]))


def examples(address: FeatureAddress) -> ServerFeature:
    """Read the feature's examples.

    Raises:
        RecomputeError: the webapp or the feature cannot be reached, or there are no examples with token ids.
    """
    call = partial(get_feature.sync_detailed, address.model, address.source, str(address.index))
    body = _request(address, FeatureBody, call)
    if not body.activations:
        raise RecomputeError(f"{address} has no examples to compare: the feature never fires in its corpus")
    if any(example.token_ids is None for example in body.activations):
        raise RecomputeError(f"{address}: its dataset has no token ids, and decoded text is never tokenised again")
    texts = [
        ServerText(
            f"example {number}", example.token_ids or [], example.tokens, np.array(example.values, dtype=np.float64)
        )
        for number, example in enumerate(body.activations, 1)
    ]
    return ServerFeature(body.source.recipe, texts)


def own_prompt(address: FeatureAddress, prompt: OwnPrompt) -> ServerFeature:
    """Have the webapp run `prompt` as the feature's page does: ignored positions take no part in the maximum.

    Raises:
        RecomputeError: the webapp or the feature cannot be reached, or the prompt was not run.
    """
    feature = FeatureId(model_id=address.model, layer=address.source, index=address.index)
    request = NewActivation(feature=feature, prepend_bos=prompt.prepend_bos, ignore_bos=True)
    if prompt.messages:
        request.messages = [ChatMessage.from_dict(message) for message in prompt.messages]
        request.add_generation_prompt = prompt.add_generation_prompt
    else:
        request.custom_text = prompt.text
    body = _request(address, Activation, partial(new_activation.sync_detailed, body=request))
    values = np.array(body.values, dtype=np.float64)
    name = "your chat" if prompt.messages else "your text"
    server_text = ServerText(name, body.token_ids, body.tokens, values, frozenset(body.ignored_positions))
    return ServerFeature(body.recipe, [server_text], prompt)


def _request(address: FeatureAddress, expected: type[T], call: Callable[..., Response[Any]]) -> T:
    """The parsed response to `call`.

    Raises:
        RecomputeError: there is none, or it is an error; the message includes the webapp's response.
    """
    try:
        with Client(address.base, timeout=httpx.Timeout(READ_SECONDS, connect=10)) as client:
            response = call(client=client)
    except httpx.HTTPError as error:
        raise RecomputeError(f"{address.base} does not answer ({in_a_line(error)}); is it a running webapp?") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # what the generated client raises on JSON of another shape
        raise RecomputeError(f"{address.base} answers, but not as a memicos of this version") from error
    if isinstance(response.parsed, expected):
        return response.parsed
    if isinstance(response.parsed, ErrorBody):
        raise RecomputeError(f"{address.base}: {response.parsed.message}")
    raise RecomputeError(f"{address.base} answers with status {response.status_code:d}: {response.content[:200]!r}")
