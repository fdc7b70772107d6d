"""Errors of calls to the inference server: refusals, time-outs and broken connections as the webapp's faults."""

import json
from collections.abc import Mapping
from typing import Any

import httpx
from memicos_inference_client.errors import UnexpectedStatus
from memicos_inference_client.sse import StreamError

from memicos_webapp.errors import BadInput, Fault, NotFound, Unavailable, UpstreamFault

START = "start it with `make inference-localhost-dev MODEL_SOURCESET=…`; `make demo` starts all servers"

SHORTEN = "Shorten it, or raise TOKEN_LIMIT of the inference server."

UNPARSEABLE = (ValueError, KeyError, TypeError, AttributeError)
"""What the generated client raises on JSON of another shape."""


class ClientDisconnected(Fault):
    """The webapp's own client closed the connection before the answer; nobody reads this one."""

    status = 499

    def __init__(self) -> None:
        super().__init__("The client closed the connection.")


class InferenceDown(Unavailable):
    """No server answers at the host's URL."""

    def __init__(self, url: str) -> None:
        super().__init__(f"Inference is not running at {url}; {START}.", retry_after=10)


class InferenceLoading(Unavailable):
    """The host is loading its model; `progress` names the step and the share that is done."""

    def __init__(self, progress: str) -> None:
        super().__init__(f"Inference is {progress}; try again in a moment.", retry_after=3)


class NotServed(Unavailable):
    """The host is ready, but has not loaded the model or source."""

    def __init__(self, missing: str, url: str, loaded: str) -> None:
        super().__init__(
            f"No inference server has {missing} loaded; {url} has {loaded}. Start one that has it: "
            "`make inference-localhost-dev MODEL_SOURCESET=…`, and set INFERENCE_URL.",
            retry_after=60,
        )


class WrongSecret(UpstreamFault):
    def __init__(self, url: str) -> None:
        super().__init__(
            f"The inference server at {url} refuses the webapp's secret: set INFERENCE_SECRET of the webapp to what "
            "the server has as SECRET."
        )


def call_error(url: str, error: Exception, seconds: float, *, begun: bool = False) -> Fault:
    """The fault for an exception that the generated client raised.

    Args:
        seconds: The read time-out of the call.
        begun: Whether events of a stream had come before the exception.

    Raises:
        Exception: `error` itself, where it is none of a call.
    """
    if isinstance(error, UnexpectedStatus):
        return refusal(url, error.status_code, error.content, {})
    if isinstance(error, StreamError):
        if error.cause == "incomplete" and not begun:
            return unreadable(url)
        return stream_failure(url, error.error, error.cause)
    if isinstance(error, httpx.HTTPError):
        return connection_failure(url, error, seconds)
    if isinstance(error, UNPARSEABLE):
        return unreadable(url)
    raise error


def refusal(url: str, status: int, content: bytes, headers: Mapping[str, str]) -> Fault:
    """The fault for an HTTP status other than 200."""
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
    """The message of an error body: `{"error": …}` or FastAPI's `{"detail": …}`."""
    body = _body(content)
    detail = body.get("error") or body.get("detail")
    if isinstance(detail, list):
        return "; ".join(f"{'.'.join(map(str, item['loc'][1:]))}: {item['msg']}" for item in detail[:3])
    return str(detail or "")


def _body(content: bytes) -> dict[str, Any]:
    """A JSON object; {} where `content` is none."""
    try:
        body = json.loads(content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def connection_failure(url: str, error: httpx.HTTPError, seconds: float) -> Fault:
    """The fault for a request without an answer, or with half of one."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return InferenceDown(url)
    if isinstance(error, httpx.TimeoutException):
        return silence(url, seconds, "MEMICOS_INFERENCE_READ_SECONDS")
    return stream_failure(url, "", "incomplete")


def silence(url: str, seconds: float, setting: str) -> Unavailable:
    """The fault for a time-out of `seconds`, which `setting` sets."""
    return Unavailable(f"Inference at {url} was silent for {seconds:g} s (setting {setting}).")


def stream_failure(url: str, message: str, cause: str | None) -> Fault:
    """The fault for a stream that ended early; `message` and `cause` are those of the server's error event."""
    if cause == "incomplete":
        return UpstreamFault(f"The connection to inference at {url} broke off; run it again.")
    if cause == "invalid_request":
        return BadInput(message)
    if cause in ("busy", "stopping", "out_of_memory"):
        return Unavailable(f"Inference stopped in the middle: {message}")
    return UpstreamFault(f"The inference server failed: {message}")


def unreadable(url: str) -> Fault:
    """The fault for JSON that does not have the contract's shape."""
    return UpstreamFault(
        f"{url} answers, but not as an inference server of this version of memicos. Point INFERENCE_URL at "
        "one that does."
    )
