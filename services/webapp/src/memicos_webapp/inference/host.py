"""One inference server: its connections, its state and its load."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import httpx
from memicos_inference_client import Client
from memicos_inference_client.api.capabilities import capabilities
from memicos_inference_client.api.health import health
from memicos_inference_client.models import CapabilitiesResponse, HealthResponse
from pydantic import SecretStr

from memicos_webapp.errors import Fault, Unavailable
from memicos_webapp.inference import status_messages
from memicos_webapp.inference.errors import (
    UNPARSEABLE,
    InferenceDown,
    InferenceLoading,
    InferenceSilent,
    NotServed,
    SecretMissing,
    WrongSecret,
    connection_failure,
    refusal,
    unreadable,
)
from memicos_webapp.inference.host_config import HostConfig
from memicos_webapp.inference.name_lookup import NameLookup
from memicos_webapp.inference.visitors import add_headers
from memicos_webapp.security.tls import tls_context
from memicos_webapp.settings import Settings

T = TypeVar("T")

STATUS_CONNECTIONS = 4
"""Connections for checks of the host's state, of which one runs at a time."""

State = Literal["ready", "loading", "down", "refused"]


def _headers(secret: str | None, client_key: SecretStr | None) -> dict[str, str]:
    """Headers that let the server believe the visitor ids of this webapp."""
    if secret:
        return {"X-SECRET-KEY": secret}
    return {"X-Client-Key": client_key.get_secret_value()} if client_key else {}


@dataclass(frozen=True)
class Status:
    """State of a host: `message` is for pages, `fault` answers requests that the host cannot serve now."""

    state: State
    message: str
    fault: Fault | None
    capabilities: CapabilitiesResponse | None = None


class Host:
    """One inference server, its connections and its last known state."""

    def __init__(self, config: HostConfig, secret: str | None, settings: Settings) -> None:
        self.config = config
        self.secret = secret
        self.name = config.name
        self.url = config.url
        self.read_seconds = settings.inference_read_seconds
        self._name_lookup = NameLookup(settings.inference_connect_seconds)
        self.client = self._client(settings, settings.inference_call_connections)
        """For calls with one short response."""
        # a chat with two different conversations has two streams
        self.stream_client = self._client(settings, 2 * settings.streams)
        # a new connection for each check: nothing answers on an old one if the machine is gone
        self._status_client = self._client(settings, STATUS_CONNECTIONS, kept=0)
        self._check_seconds = settings.inference_check_seconds
        self._wait_seconds = settings.inference_check_wait_seconds
        self._capabilities_seconds = settings.inference_capabilities_seconds
        self._fresh_seconds = settings.inference_status_seconds
        self._status: Status | None = None
        self._status_at = float("-inf")
        self._capabilities: CapabilitiesResponse | None = None
        self._capabilities_at = float("-inf")
        self._check: asyncio.Task[Status] | None = None
        self._check_at = 0.0
        self._check_ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._calls = 0
        self._other_load = 0
        self._failed_at = float("-inf")
        self._last_call_at = 0.0

    def _client(self, settings: Settings, connections: int, kept: int = 20) -> Client:
        """A client with connections of its own, so that calls of one kind leave those of another their share."""
        return Client(
            base_url=self.url,
            headers=_headers(self.secret, settings.inference_client_key),
            timeout=httpx.Timeout(
                self.read_seconds, connect=settings.inference_connect_seconds, pool=settings.inference_queue_seconds
            ),
            verify_ssl=tls_context(),
            # the servers connect directly, without the proxy of the environment
            httpx_args={
                "trust_env": False,
                "event_hooks": {"request": [add_headers, self._name_lookup.check]},
                "limits": httpx.Limits(max_connections=connections, max_keepalive_connections=kept),
            },
        )

    @property
    def last_status(self) -> Status | None:
        """The last known state; None before the first check has ended."""
        return self._status

    @property
    def busy(self) -> bool:
        """Whether a call of this host is running."""
        return self._calls > 0

    @property
    def load(self) -> int:
        """Requests in progress: those of this webapp now, and those of others at the last check."""
        return self._calls + self._other_load

    @property
    def preference(self) -> tuple[bool, int, float]:
        """Sort key of hosts that can serve a request: those that failed come last, busy ones after others."""
        return self._failed_at > float("-inf"), self.load, self._last_call_at

    @contextmanager
    def call(self) -> Iterator[None]:
        """Counts a call of this host while it runs."""
        self._calls += 1
        self._last_call_at = time.monotonic()
        try:
            yield
        finally:
            self._calls -= 1

    async def while_up(self, call: Coroutine[Any, Any, T], others_serve: Callable[[], bool]) -> T:
        """The result of a call, which is cancelled when a check finds that the host would not complete it.

        That is so where nothing accepts connections any more, and where the check itself had no response in time (a
        process that is stopped, a machine that hangs). The second may also be a host that is very busy, so it only
        counts while another host can take the call. Without it, such a call would wait for the read time-out.

        Args:
            others_serve: Whether another host is ready that serves the request.

        Raises:
            InferenceDown: No server accepts connections any more.
            InferenceSilent: The host did not respond to a check, and another one serves the request.
        """
        task = asyncio.ensure_future(call)
        try:
            while not task.done():
                fault = self._status.fault if self._status else None
                if isinstance(fault, InferenceDown) or (isinstance(fault, InferenceSilent) and others_serve()):
                    raise fault
                await asyncio.wait((task, self._check_ended), return_when=asyncio.FIRST_COMPLETED)
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def failed(self) -> None:
        """Record that a call failed because of the host: others are preferred until a new check has succeeded."""
        self._failed_at = time.monotonic()
        self.invalidate()

    async def status(self, newest_capabilities: bool = False) -> Status:
        """The host's state, checked at most MEMICOS_INFERENCE_STATUS_SECONDS ago.

        One check runs at a time, for all requests. A check that takes longer than MEMICOS_INFERENCE_CHECK_WAIT_SECONDS
        continues in the background while requests get the last known state; only where none is known do they wait until
        it ends, at most MEMICOS_INFERENCE_CHECK_SECONDS.

        Args:
            newest_capabilities: request the capabilities again, unless they are as recent as a state must be.
        """
        now = time.monotonic()
        if newest_capabilities and now - self._capabilities_at > self._fresh_seconds:
            self.invalidate()
        if self._check is None and self._status and now - self._status_at <= self._fresh_seconds:
            return self._status
        check = self.start_check()
        timeout = None if self._status is None else max(0.0, self._check_at + self._wait_seconds - now)
        await asyncio.wait((check,), timeout=timeout)
        if check.done():
            return check.result()
        assert self._status is not None
        return self._status

    def start_check(self) -> asyncio.Task[Status]:
        """The check that is running, or a new one."""
        if self._check is None:
            # an empty context: the check is for all requests, not for one client
            self._check = asyncio.create_task(self._run_check(), context=Context())
            self._check_at = time.monotonic()
        return self._check

    async def close(self) -> None:
        if self._check:
            self._check.cancel()
            await asyncio.gather(self._check, return_exceptions=True)
        for client in (self.client, self.stream_client, self._status_client):
            await client.get_async_httpx_client().aclose()
        self._name_lookup.close()

    def invalidate(self) -> None:
        """Check state and capabilities at the next request: a call has shown that they may have changed."""
        self._status_at = self._capabilities_at = float("-inf")

    async def _run_check(self) -> Status:
        started = time.monotonic()
        try:
            self._status = await self._current_status()
            if self._status.state == "ready" and self._failed_at < started:
                self._failed_at = float("-inf")
            # a call that failed meanwhile is more recent than this check
            self._status_at = time.monotonic() if self._failed_at < started else float("-inf")
            return self._status
        finally:
            self._check = None
            # every call that waits looks at the state
            self._check_ended.set_result(None)
            self._check_ended = asyncio.get_running_loop().create_future()

    async def _current_status(self) -> Status:
        if self.config.secret_variable and not self.secret:
            fault = SecretMissing(self.name, self.config.secret_variable)
            return Status("refused", status_messages.secret_missing(self.config.secret_variable), fault)
        try:
            return await self._fetch_status()
        except TimeoutError:
            fault = InferenceSilent(self.url, self._check_seconds, "MEMICOS_INFERENCE_CHECK_SECONDS")
            return Status("down", fault.message, fault)
        except httpx.HTTPError as error:
            fault = connection_failure(self.url, error, self.read_seconds)
            down = isinstance(fault, InferenceDown)
            return Status("down", status_messages.NOT_RUNNING if down else fault.message, fault)
        except WrongSecret as fault:
            return Status("refused", status_messages.WRONG_SECRET, fault)
        except Fault as fault:
            return Status("down", fault.message, fault)
        except UNPARSEABLE:
            fault = unreadable(self.url)
            return Status("down", fault.message, fault)

    async def _fetch_status(self) -> Status:
        async with asyncio.timeout(self._check_seconds):
            response = await health.asyncio_detailed(client=self._status_client)
        if not isinstance(response.parsed, HealthResponse):
            raise unreadable(self.url)
        if response.parsed.state == "failed":
            message = status_messages.load_failed(response.parsed)
            fault = Unavailable(f"Inference at {self.url} {message}", retry_after=60)
            return Status("down", f"inference {message}", fault)
        if not response.parsed.ready:
            # a server that restarts may run another model
            self._capabilities_at = float("-inf")
            progress = status_messages.loading(response.parsed)
            return Status("loading", f"inference is {progress}", InferenceLoading(self.url, progress))
        # its load includes this webapp's calls, which are counted as they begin and end
        load = response.parsed.load
        self._other_load = max(0, load - self._calls) if isinstance(load, int) else 0
        capabilities = await self._current_capabilities()
        return Status("ready", status_messages.ready(capabilities), None, capabilities)

    async def _current_capabilities(self) -> CapabilitiesResponse:
        """The known capabilities where they are recent, or where a busy server does not answer with new ones."""
        if self._capabilities and time.monotonic() - self._capabilities_at <= self._capabilities_seconds:
            return self._capabilities
        try:
            self._capabilities = await self._fetch_capabilities()
            self._capabilities_at = time.monotonic()
        except (TimeoutError, Unavailable):
            if self._capabilities is None:
                raise
        return self._capabilities

    async def _fetch_capabilities(self) -> CapabilitiesResponse:
        async with asyncio.timeout(self._check_seconds):
            response = await capabilities.asyncio_detailed(client=self._status_client)
        if not isinstance(response.parsed, CapabilitiesResponse):
            raise refusal(self.url, response.status_code, response.content, response.headers)
        return response.parsed

    def serves(self, status: Status, model: str, sources: list[str]) -> CapabilitiesResponse | Fault:
        """The host's capabilities where it can serve `sources` of `model` in this state, else why it cannot."""
        host_capabilities = status.capabilities
        if status.fault or host_capabilities is None:
            return status.fault or unreadable(self.url)
        if model not in host_capabilities.accepted_models:
            return NotServed(f"the model {model}", [(self.url, host_capabilities.model)])
        ids = {source.id for source in host_capabilities.sources}
        if missing := [source for source in sources if source not in ids]:
            loaded = ", ".join(sorted(host_capabilities.sae_sets)) or "no sources"
            return NotServed(f"{model}/{missing[0]}", [(self.url, f"{host_capabilities.model} with {loaded}")])
        return host_capabilities
