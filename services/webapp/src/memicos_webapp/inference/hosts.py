"""Inference servers: how they are doing, and which one has a model's source."""

import asyncio
import time
from dataclasses import dataclass
from typing import Literal

import httpx
from memicos_inference_client import Client
from memicos_inference_client.api.capabilities import capabilities
from memicos_inference_client.api.health import health
from memicos_inference_client.models import CapabilitiesResponse, HealthResponse

from memicos_webapp.errors import Fault, Unavailable
from memicos_webapp.inference.faults import (
    InferenceDown,
    InferenceLoading,
    NotServed,
    WrongSecret,
    refusal,
    silence,
    unreadable,
)
from memicos_webapp.inference.visitors import name_visitor
from memicos_webapp.settings import Settings

State = Literal["ready", "loading", "down", "refused"]


@dataclass(frozen=True)
class Status:
    """What is known of a host: `words` for people, `fault` for requests that it cannot serve now."""

    state: State
    words: str
    fault: Fault | None
    capabilities: CapabilitiesResponse | None = None


class Host:
    """One inference server and its connections."""

    def __init__(self, url: str, settings: Settings) -> None:
        self.url = url.rstrip("/")
        self.read_seconds = settings.inference_read_seconds
        secret = settings.inference_secret
        self.client = Client(
            base_url=self.url,
            headers={"X-SECRET-KEY": secret.get_secret_value()} if secret else {},
            timeout=httpx.Timeout(self.read_seconds, connect=settings.inference_connect_seconds),
            # no proxy stands between two servers of ours
            httpx_args={"trust_env": False, "event_hooks": {"request": [name_visitor]}},
        )
        self._believed_seconds = settings.inference_status_seconds
        self._status: Status | None = None
        self._asked = 0.0
        self._one_at_a_time = asyncio.Lock()

    async def status(self) -> Status:
        """The host's state, at most `MEMICOS_INFERENCE_STATUS_SECONDS` old."""
        async with self._one_at_a_time:
            if self._status is None or time.monotonic() - self._asked > self._believed_seconds:
                self._status = await self._ask(self._status)
                self._asked = time.monotonic()
            return self._status

    async def close(self) -> None:
        await self.client.get_async_httpx_client().aclose()

    def forget(self) -> None:
        """Ask again next time: a call has shown that what is known may be wrong."""
        self._status = None

    async def _ask(self, before: Status | None) -> Status:
        try:
            answer = await health.asyncio_detailed(client=self.client)
            if not isinstance(answer.parsed, HealthResponse):
                raise unreadable(self.url)
            if answer.parsed.state == "failed":
                words = f"could not load its model: {answer.parsed.progress}"
                return Status("down", f"inference {words}", Unavailable(f"Inference {words}", retry_after=60))
            if not answer.parsed.ready:
                percent = round(100 * answer.parsed.progress_fraction)
                words = f"loading, {percent} %: {answer.parsed.progress}"
                return Status("loading", f"inference is {words}", InferenceLoading(words))
            known = before.capabilities if before else None
            return Status("ready", "inference ready", None, known or await self._capabilities())
        except httpx.HTTPError as error:
            fault = silence(self.url, error, self.read_seconds)
            down = isinstance(fault, InferenceDown)
            return Status("down", "inference is not running" if down else fault.message, fault)
        except WrongSecret as fault:
            return Status("refused", "inference refuses the secret", fault)
        except Fault as fault:
            return Status("down", fault.message, fault)
        except (ValueError, KeyError, TypeError, AttributeError):
            # what the generated parsers raise on JSON of another shape
            fault = unreadable(self.url)
            return Status("down", fault.message, fault)

    async def _capabilities(self) -> CapabilitiesResponse:
        answer = await capabilities.asyncio_detailed(client=self.client)
        if not isinstance(answer.parsed, CapabilitiesResponse):
            raise refusal(self.url, answer.status_code, answer.content, answer.headers)
        return answer.parsed


class Hosts:
    """The inference servers that this webapp knows: so far the one of `INFERENCE_URL`."""

    def __init__(self, settings: Settings) -> None:
        self.all = [Host(settings.inference_url, settings)]

    async def pick(self, model: str, sources: list[str]) -> tuple[Host, CapabilitiesResponse]:
        """A ready host that has `model` and all of `sources`, with what it can do.

        Raises:
            Fault: none is ready (503 with the reason), or none has them.
        """
        fault: Fault | None = None
        for host in self.all:
            status = await host.status()
            if status.fault or status.capabilities is None:
                fault = fault or status.fault or unreadable(host.url)
                continue
            has = status.capabilities
            missing = [source for source in sources if source not in {one.id for one in has.sources}]
            if model not in has.accepted_models:
                fault = NotServed(f"the model {model}", host.url, has.model)
            elif missing:
                offered = ", ".join(sorted(has.sae_sets)) or "no sources"
                fault = NotServed(f"{model}/{missing[0]}", host.url, f"{has.model} with {offered}")
            else:
                return host, has
        assert fault is not None
        raise fault

    async def status(self, model: str, sources: list[str]) -> Status:
        """How inference of `model` is doing, for a page."""
        try:
            host, _ = await self.pick(model, sources)
        except NotServed as fault:
            return Status("down", f"no inference server has {sources[0] if sources else model} loaded", fault)
        except Fault:
            host = self.all[0]
        return await host.status()
