"""Errors of calls to the inference server: refusals, time-outs and broken connections as the webapp's faults."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import httpx
from memicos_inference_client.errors import UnexpectedStatus
from memicos_inference_client.sse import StreamError

from memicos_webapp.errors import BadInput, Fault, NotFound, Unavailable, UpstreamFault

START = "start it with `make inference-localhost-dev MODEL_SOURCESET=…`; `make demo` starts all servers"

SHORTEN = "Shorten it, or raise TOKEN_LIMIT of the inference server."

UNPARSEABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""Exceptions of the generated client for JSON with another structure."""


class NotReady(Unavailable):
    """An error until a server is loaded or started; pages repeat their request until then."""

    state: Literal["loading", "down"]


class InferenceDown(NotReady):
    """No server answers at the host's URL."""

    state = "down"

    def __init__(self, url: str) -> None:
        super().__init__(f"Inference is not running at {url}; {START}.", retry_after=10)


class InferenceSilent(Unavailable):
    """The host accepts connections, and sends nothing for `seconds`, which the setting `setting` limits."""

    def __init__(self, url: str, seconds: float, setting: str) -> None:
        super().__init__(f"Inference at {url} did not respond for {seconds:g} s (setting {setting}).")


class InferenceLoading(NotReady):
    """The host is loading its model; `progress` names the step and the share that is done."""

    state = "loading"

    def __init__(self, url: str, progress: str) -> None:
        super().__init__(f"Inference at {url} is {progress}; try again in a moment.", retry_after=3)


class HostsNotReady(NotReady):
    """No host can serve the request now, and one that is loading or not running may do so later.

    Args:
        target: Model or source of the request.
        reasons: Why each host cannot serve it, by the host's name.
    """

    def __init__(self, target: str, reasons: Mapping[str, str], loading: bool) -> None:
        super().__init__(_no_host(target, reasons), retry_after=3 if loading else 10)
        self.state = "loading" if loading else "down"


class NoHosts(Unavailable):
    """No inference host is configured and enabled."""

    def __init__(self) -> None:
        super().__init__(
            "No inference server is enabled: set INFERENCE_URL or MEMICOS_INFERENCE_HOSTS, or `memicos hosts add`.",
            retry_after=60,
        )


class NotServed(Unavailable):
    """Hosts are ready, but none has loaded the model or source.

    Args:
        missing: The model or source.
        loaded: (URL, what is loaded) of each host.
    """

    def __init__(self, missing: str, loaded: Sequence[tuple[str, str]]) -> None:
        hosts = "; ".join(f"{url} has {sources}" for url, sources in loaded)
        super().__init__(
            f"No inference server has {missing} loaded; {hosts}. Start one that has it: "
            "`make inference-localhost-dev MODEL_SOURCESET=…`, and set INFERENCE_URL, or MEMICOS_INFERENCE_HOSTS for "
            "several servers.",
            retry_after=60,
        )
        self.missing = missing
        self.loaded = list(loaded)


class SecretMissing(UpstreamFault):
    """The variable that a host's secret is read from is not set."""

    def __init__(self, name: str, variable: str) -> None:
        super().__init__(f"The secret of the inference host {name} is not set: set {variable} of the webapp.")


class ConnectionsInUse(Unavailable):
    """All connections of the webapp to a host are in use, for longer than a call waits."""

    def __init__(self, url: str) -> None:
        super().__init__(
            f"All connections to inference at {url} are in use (MEMICOS_INFERENCE_CALL_CONNECTIONS, MEMICOS_STREAMS); "
            "try again in a moment."
        )


class InferenceFailed(UpstreamFault):
    """The host answered that the request failed; other hosts are not tried, as they would most likely fail too."""

    def __init__(self, message: str) -> None:
        super().__init__(f"The inference server failed: {message}")


class WrongSecret(UpstreamFault):
    def __init__(self, url: str) -> None:
        super().__init__(
            f"The inference server at {url} refuses the webapp's secret: set INFERENCE_SECRET of the webapp to the "
            "SECRET of that server."
        )


def call_error(url: str, error: Exception, seconds: float, *, started: bool = False) -> Fault:
    """The fault for an exception that the generated client raised.

    Args:
        seconds: The read time-out of the call.
        started: Whether events of a stream had come before the exception.

    Raises:
        Exception: `error` itself, where it is not an error of a call.
    """
    if isinstance(error, Fault):
        return error
    if isinstance(error, UnexpectedStatus):
        return refusal(url, error.status_code, error.content, {})
    if isinstance(error, StreamError):
        if error.cause == "incomplete" and not started:
            return unreadable(url)
        return stream_failure(url, error.error, error.cause)
    if isinstance(error, httpx.HTTPError):
        return connection_failure(url, error, seconds)
    if isinstance(error, UNPARSEABLE):
        return unreadable(url)
    raise error


def check_characters(characters: int, limit: int | None) -> None:
    """Raises BadInput for a text of more characters than an inference server takes; `limit` None: it states none."""
    if limit is not None and characters > limit:
        raise BadInput(f"Text too long: {characters:,} characters, max is {limit:,}. {SHORTEN}")


_LACKS_SOURCE = ("Unknown source", "Unsupported model")
"""Beginnings of an inference server's message (400) for a source or a model that it does not have."""


class HostLacksSource(BadInput):
    """An inference server does not have the requested source or model."""


def refusal(url: str, status: int, content: bytes, headers: Mapping[str, str]) -> Fault:
    """The fault for an HTTP status other than 200."""
    message = _message(content) or f"the answer was {status}"
    if status == 403 and _body(content).get("cause") == "forbidden":
        return UpstreamFault(f"The inference server at {url} refuses the request: {message}")
    if status in (401, 403):
        return WrongSecret(url)
    if status in (400, 413, 422):
        if message.startswith(_LACKS_SOURCE):
            return HostLacksSource(message)
        advice = f". {SHORTEN}" if message.startswith("Text too long") else ""
        return BadInput(message + advice)
    if status == 404:
        return NotFound(message)
    if status in (429, 503):
        wait = headers.get("retry-after", "")
        state = "does not answer" if _body(content).get("cause") == "unverified" else "is busy"
        return Unavailable(
            f"Inference at {url} {state}: {message}",
            retry_after=int(wait) if wait.isascii() and wait.isdecimal() else 5,
        )
    return InferenceFailed(message)


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
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def connection_failure(url: str, error: httpx.HTTPError, seconds: float) -> Fault:
    """The fault for a request without a response, or with an incomplete one."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return InferenceDown(url)
    if isinstance(error, httpx.PoolTimeout):
        return ConnectionsInUse(url)
    if isinstance(error, httpx.TimeoutException):
        return InferenceSilent(url, seconds, "MEMICOS_INFERENCE_READ_SECONDS")
    return stream_failure(url, "", "incomplete")


def stream_failure(url: str, message: str, cause: str | None) -> Fault:
    """The fault for a stream that ended early; `message` and `cause` are those of the server's error event."""
    if cause == "incomplete":
        return UpstreamFault(f"The connection to inference at {url} was interrupted; run it again.")
    if cause == "invalid_request":
        return BadInput(message)
    if cause in ("busy", "stopping", "out_of_memory"):
        return Unavailable(f"Inference stopped before the response was complete: {message}")
    return InferenceFailed(message)


def unreadable(url: str) -> Fault:
    """The fault for JSON that does not follow the contract."""
    return UpstreamFault(
        f"The server at {url} is not an inference server of this memicos version. Set INFERENCE_URL to one that is."
    )


def concerns_host(fault: Fault) -> bool:
    """Whether `fault` is about the host and not about the request, so that another host may serve the request."""
    return not isinstance(fault, BadInput | InferenceFailed)


def no_host(target: str, unable: Mapping[str, Fault], failed: Mapping[str, Fault]) -> Fault:
    """The fault of a request that no host serves.

    Args:
        target: Model or source of the request.
        unable: Why each host cannot serve it, by the host's name.
        failed: Faults of hosts that were called for it, by name.
    """
    faults = {**unable, **failed}
    if not faults:
        return NoHosts()
    absent = {name: fault for name, fault in faults.items() if isinstance(fault, NotServed)}
    if len(absent) == len(faults):
        first = next((fault for fault in absent.values() if "/" in fault.missing), next(iter(absent.values())))
        return NotServed(first.missing, [host for fault in absent.values() for host in fault.loaded])
    other_faults = [fault for name, fault in faults.items() if name not in absent]
    if len(faults) == 1 or (len(other_faults) == 1 and other_faults[0] in failed.values()):
        return other_faults[0]
    reasons = {name: _reason(fault) for name, fault in faults.items()}
    states = {fault.state for fault in faults.values() if isinstance(fault, NotReady)}
    if states:
        return HostsNotReady(target, reasons, loading="loading" in states)
    return Unavailable(_no_host(target, reasons))


def _reason(fault: Fault) -> str:
    return (
        "; ".join(f"{url} has {sources}" for url, sources in fault.loaded)
        if isinstance(fault, NotServed)
        else fault.message
    )


def _no_host(target: str, reasons: Mapping[str, str]) -> str:
    return f"No inference server can serve {target} now. " + " ".join(
        f"{name}: {reason.rstrip('.')}." for name, reason in reasons.items()
    )
