"""What the inference server's refusals and silences mean to whoever asked the webapp."""

import json
from collections.abc import Mapping
from typing import Any

import httpx

from memicos_webapp.errors import BadInput, Fault, NotFound, Unavailable, UpstreamFault

START = "start it with `make inference-localhost-dev MODEL_SOURCESET=…`; `make demo` starts all servers"

SHORTEN = "Shorten it, or raise TOKEN_LIMIT of the inference server."


class InferenceDown(Unavailable):
    """Nothing answers at the host's URL."""

    def __init__(self, url: str) -> None:
        super().__init__(f"Inference is not running at {url}; {START}.", retry_after=10)


class InferenceLoading(Unavailable):
    """The host is loading its model; `words` say how far it is."""

    def __init__(self, words: str) -> None:
        super().__init__(f"Inference is {words}; try again in a moment.", retry_after=3)


class NotServed(Unavailable):
    """The host is ready, but has not loaded the model or source."""

    def __init__(self, what: str, url: str, has: str) -> None:
        super().__init__(
            f"No inference server has {what} loaded; {url} has {has}. Start one that has it: "
            "`make inference-localhost-dev MODEL_SOURCESET=…`, and set INFERENCE_URL.",
            retry_after=60,
        )


class WrongSecret(UpstreamFault):
    def __init__(self, url: str) -> None:
        super().__init__(
            f"The inference server at {url} refuses the webapp's secret: set INFERENCE_SECRET of the webapp to what "
            "the server has as SECRET."
        )


def refusal(url: str, status: int, content: bytes, headers: Mapping[str, str]) -> Fault:
    """The fault for an answer of inference other than 200."""
    message = _message(content) or f"the answer was {status}"
    if status in (401, 403):
        return WrongSecret(url)
    if status in (400, 413, 422):
        advice = f". {SHORTEN}" if message.startswith("Text too long") else ""
        return BadInput(message + advice)
    if status == 404:
        return NotFound(message)
    if status in (429, 503):
        wait = headers.get("retry-after", "")
        state = "does not answer" if _body(content).get("cause") == "unverified" else "is busy"
        return Unavailable(f"Inference {state}: {message}", retry_after=int(wait) if wait.isdecimal() else 5)
    return UpstreamFault(f"The inference server failed: {message}")


def _message(content: bytes) -> str:
    """The words of an error body: `{"error": …}` or FastAPI's `{"detail": …}`."""
    body = _body(content)
    detail = body.get("error") or body.get("detail")
    if isinstance(detail, list):
        return "; ".join(f"{'.'.join(map(str, item['loc'][1:]))}: {item['msg']}" for item in detail[:3])
    return str(detail or "")


def _body(content: bytes) -> dict[str, Any]:
    """The JSON object that an answer is; {} where it is none."""
    try:
        body = json.loads(content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def silence(url: str, error: httpx.HTTPError, seconds: float) -> Fault:
    """The fault for an answer that did not come, or broke off."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return InferenceDown(url)
    if isinstance(error, httpx.TimeoutException):
        return Unavailable(f"Inference at {url} was silent for {seconds:g} s (setting MEMICOS_INFERENCE_READ_SECONDS).")
    return broken_off(url, "", "incomplete")


def broken_off(url: str, words: str, cause: str | None) -> Fault:
    """The fault for an answer that ended early: `words` and `cause` as the client has them from the server."""
    if cause == "incomplete":
        return UpstreamFault(f"The connection to inference at {url} broke off; run it again.")
    if cause == "invalid_request":
        return BadInput(words)
    if cause in ("busy", "stopping", "out_of_memory"):
        return Unavailable(f"Inference stopped in the middle: {words}")
    return UpstreamFault(f"The inference server failed: {words}")


def unreadable(url: str) -> Fault:
    """The fault for an answer of another shape than the contract's."""
    return UpstreamFault(
        f"{url} answers, but not as an inference server of this version of memicos. Point INFERENCE_URL at "
        "one that does."
    )
