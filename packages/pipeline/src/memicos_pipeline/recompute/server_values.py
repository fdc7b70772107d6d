"""What a server shows of a feature: values on its examples, or on a text that it is asked to run."""

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
from memicos_client.models import Activation, ErrorBody, FeatureBody, FeatureId, NewActivation, Recipe
from memicos_client.types import Response

from memicos_pipeline.recompute.errors import RecomputeError, in_a_line

HERE = "http://127.0.0.1:3000"
SECONDS = 180.0
"""Longest silence of the server: it may have to run a text."""

T = TypeVar("T")


@dataclass(frozen=True)
class Address:
    """A feature on the server at `base`."""

    base: str
    model: str
    source: str
    index: int

    def __str__(self) -> str:
        return f"{self.model}/{self.source}/{self.index} at {self.base}"


@dataclass(frozen=True)
class Shown:
    """`values` (T,) of the feature on the tokens `ids`; `name` says which text it is."""

    name: str
    ids: list[int]
    tokens: list[str]
    values: np.ndarray


@dataclass(frozen=True)
class Feature:
    """What is shown of a feature: its examples, or its values on `text`, which is run and has them everywhere."""

    recipe: Recipe
    texts: list[Shown]
    text: str | None = None


def address(text: str) -> Address:
    """The feature of a page's address, of its JSON's, or of `model/source/index` on this machine's server.

    Raises:
        RecomputeError: it is none of these.
    """
    base, path = HERE, text
    if "://" in text or re.match(r"[\w.-]+:\d+/", text):
        parts = urlsplit(text if "://" in text else f"http://{text}")
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise RecomputeError(f"{text} is no address of a feature: it has to begin with http:// or https://")
        base, path = f"{parts.scheme}://{parts.netloc}", parts.path
    segments = [unquote(one) for one in path.partition("?")[0].strip("/").split("/")]
    if len(segments) == 5 and segments[:2] == ["api", "feature"]:
        segments = segments[2:]
    if len(segments) != 3 or not all(segments) or not re.fullmatch(r"\d{1,9}", segments[2], re.ASCII):
        raise RecomputeError(
            f"{text} is no feature: name its page, as {HERE}/<model>/<source>/<index>, or <model>/<source>/<index>"
        )
    return Address(base, segments[0], segments[1], int(segments[2]))


def examples(where: Address) -> Feature:
    """The feature's examples.

    Raises:
        RecomputeError: the server or the feature is not there, or has no examples with token ids.
    """
    body = _asked(where, FeatureBody, partial(get_feature.sync_detailed, where.model, where.source, str(where.index)))
    if not body.activations:
        raise RecomputeError(f"{where} has no examples, so there is nothing to compare: it never fires in its corpus")
    if any(one.token_ids is None for one in body.activations):
        raise RecomputeError(f"{where}: its dataset has no token ids, and text is not cut into tokens anew")
    texts = [
        Shown(f"example {number}", one.token_ids or [], one.tokens, np.array(one.values, dtype=np.float64))
        for number, one in enumerate(body.activations, 1)
    ]
    return Feature(body.source.recipe, texts)


def own_text(where: Address, text: str) -> Feature:
    """The feature's values on `text`, as the server computes them now.

    Raises:
        RecomputeError: the server or the feature is not there, or the text is not run.
    """
    feature = FeatureId(model_id=where.model, layer=where.source, index=where.index)
    wanted = NewActivation(feature=feature, custom_text=text)
    body = _asked(where, Activation, partial(new_activation.sync_detailed, body=wanted))
    shown = Shown("your text", body.token_ids, body.tokens, np.array(body.values, dtype=np.float64))
    return Feature(body.recipe, [shown], text)


def _asked(where: Address, wanted: type[T], call: Callable[..., Response[Any]]) -> T:
    """The answer to `call`; its faults as RecomputeError."""
    try:
        with Client(where.base, timeout=httpx.Timeout(SECONDS, connect=10)) as client:
            answer = call(client=client)
    except httpx.HTTPError as error:
        raise RecomputeError(f"{where.base} does not answer ({in_a_line(error)}); is it a running webapp?") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # what the generated client raises on JSON of another shape
        raise RecomputeError(f"{where.base} answers, but not as a memicos of this version") from error
    if isinstance(answer.parsed, wanted):
        return answer.parsed
    if isinstance(answer.parsed, ErrorBody):
        raise RecomputeError(f"{where.base}: {answer.parsed.message}")
    raise RecomputeError(f"{where.base} answers with status {answer.status_code:d}: {answer.content[:200]!r}")
