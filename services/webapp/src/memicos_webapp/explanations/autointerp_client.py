"""Client of the autointerp server: its status, explanations, and its errors as `Fault`s."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
from fastapi import FastAPI
from memicos_autointerp_client import Client
from memicos_autointerp_client.api.explain import explain_default
from memicos_autointerp_client.api.health import health
from memicos_autointerp_client.api.score import score_explanation, score_output
from memicos_autointerp_client.errors import UnexpectedStatus
from memicos_autointerp_client.models import (
    ExplainRequest,
    ExplainResponse,
    HealthResponse,
    ScoreExplanationRequest,
    ScoreExplanationResponse,
    ScoreOutputRequest,
    ScoreOutputResponse,
    ScoreProgress,
)
from memicos_autointerp_client.sse import StreamError
from memicos_autointerp_client.types import Response
from pydantic import SecretStr

from memicos_webapp.errors import BadInput, Fault, NotConfigured, Unavailable, UpstreamFault
from memicos_webapp.explanations.evidence import Evidence
from memicos_webapp.scores.methods import EMBEDDING
from memicos_webapp.security.tls import tls_context
from memicos_webapp.settings import Settings

T = TypeVar("T")

PARSER_ERRORS = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""Exceptions of the generated parsers on JSON of another shape."""

HOW_TO_SET_KEY = (
    "Set AUTOINTERP_API_KEY to a key of OpenAI, or with AUTOINTERP_BASE_URL and AUTOINTERP_MODEL of any server that "
    "speaks OpenAI's API, a local one too; put them into the environment or into .env, and start memicos again "
    "(docs/autointerp.md)."
)


NO_SCORE = "The embedder gave no score"
"""Beginning of the message where a score by an embedder failed."""

NO_KEY = (
    "No language model is configured: set AUTOINTERP_API_KEY in the environment or in .env, and start memicos again "
    "(docs/autointerp.md)."
)


@dataclass(frozen=True)
class AutointerpProfile:
    """A provider of the autointerp server. `models`: those for the server's key, the default one first; `base_url`
    None: the server does not tell a webapp without its secret."""

    name: str
    models: tuple[str, ...]
    has_key: bool
    base_url: str | None = None


@dataclass(frozen=True)
class AutointerpStatus:
    """Methods and providers of the autointerp server, the default ones first. `problem`: why no feature can be
    explained with the server's keys, and what to do; None where one can."""

    explainers: tuple[str, ...]
    profiles: tuple[AutointerpProfile, ...]
    problem: str | None

    def profile(self, name: str | None) -> AutointerpProfile | None:
        """The profile of this name, the default one for None; None where there is none."""
        return next((profile for profile in self.profiles if name in (None, profile.name)), None)


@dataclass(frozen=True)
class ExplainOptions:
    """Method, model, provider and key of a request. `profile` None: the default one; `api_key` None: the server's;
    `base_url`: the only endpoint that the key may be sent to, None for that of the profile."""

    method: str
    model: str
    profile: str | None = None
    api_key: SecretStr | None = None
    base_url: str | None = None


class AutointerpClient:
    """Calls of the autointerp server. Every failure is a `Fault` whose message says what to do."""

    def __init__(self, settings: Settings) -> None:
        self.url = settings.autointerp_url.rstrip("/")
        self.seconds = settings.autointerp_seconds
        self._status_seconds = settings.autointerp_status_seconds
        self._status: AutointerpStatus | None = None
        self._status_expires = 0.0
        secret = settings.autointerp_secret
        self.client = Client(
            base_url=self.url,
            headers={"X-SECRET-KEY": secret.get_secret_value()} if secret else {},
            timeout=httpx.Timeout(self.seconds, connect=settings.autointerp_connect_seconds),
            verify_ssl=tls_context(),
            # the services talk to each other directly, without the environment's proxy
            httpx_args={"trust_env": False},
        )

    async def status(self) -> AutointerpStatus:
        """Whether features can be explained now. Cached for MEMICOS_AUTOINTERP_STATUS_SECONDS; takes no longer."""
        if self._status is None or time.monotonic() > self._status_expires:
            self._status = await self._read_status()
            self._status_expires = time.monotonic() + self._status_seconds
        return self._status

    async def _read_status(self) -> AutointerpStatus:
        try:
            async with asyncio.timeout(max(self._status_seconds, 0.5)):
                return await self.capabilities()
        except TimeoutError:
            return AutointerpStatus((), (), f"The autointerp server at {self.url} does not answer.")
        except Fault as fault:
            return AutointerpStatus((), (), fault.message)

    async def capabilities(self) -> AutointerpStatus:
        """What the server can do now.

        Raises:
            Fault: the server does not answer.
        """
        call = health.asyncio_detailed(client=self.client)
        response = await self._call(call, HealthResponse, "The autointerp server sent no capabilities")
        try:
            profiles = tuple(
                AutointerpProfile(profile.name, tuple(profile.models), profile.has_key, profile.base_url or None)
                for profile in response.profiles
            )
            explainers = tuple(response.explainers)
        except (TypeError, AttributeError) as error:
            raise self._unreadable() from error
        if not profiles or not explainers:
            raise self._unreadable()
        problem = None if any(profile.has_key for profile in profiles) else NO_KEY
        return AutointerpStatus(explainers, profiles, problem)

    async def explain(self, evidence: Evidence, options: ExplainOptions) -> ExplainResponse:
        """An explanation of a feature by a language model.

        Raises:
            BadInput: the server has no such method or profile, the provider no such model, or the method needs more of
                the feature than the evidence has.
            NotConfigured: the server has no key for the profile.
            UpstreamFault, Unavailable: the server or its provider gave no explanation.
        """
        body = ExplainRequest(
            activations=evidence.texts,
            explainer=options.method,
            top_logits=evidence.top_logits,
            negatives=evidence.negatives,
            model=options.model or None,
            profile=options.profile,
            api_key=options.api_key.get_secret_value() if options.api_key else None,
            base_url=options.base_url,
        )
        call = explain_default.asyncio_detailed(client=self.client, body=body)
        response = await self._call(call, ExplainResponse, "The language model gave no explanation")
        response.explanation = self._non_empty(response.explanation)
        return response

    async def score(self, body: ScoreExplanationRequest) -> AsyncGenerator[ScoreProgress | ScoreExplanationResponse]:
        """How far the score is, after each request to the language model, and at last the score. Closing the generator
        ends the requests.

        Raises:
            BadInput: the server has no such method, profile or model, or the request exceeds its limits.
            NotConfigured: the server has no key for the profile.
            UpstreamFault, Unavailable: the server or its provider gave no score.
        """
        missing = NO_SCORE if body.method == EMBEDDING else "The language model gave no score"
        try:
            async with aclosing(score_explanation.astream_steps(client=self.client, body=body)) as events:
                async for event in events:
                    yield event
        except UnexpectedStatus as error:
            raise self._fault(error.status_code, error.content, missing) from error
        except StreamError as error:
            raise UpstreamFault(f"{missing} ({error.cause}): {error.error}") from error
        except httpx.HTTPError as error:
            raise self._connection_fault(error) from error
        except PARSER_ERRORS as error:
            raise self._unreadable() from error

    async def score_output(self, body: ScoreOutputRequest) -> ScoreOutputResponse:
        """A score by what the feature does to the output.

        Raises:
            BadInput: the request exceeds the server's limits.
            UpstreamFault, Unavailable: the server gave no score.
        """
        call = score_output.asyncio_detailed(client=self.client, body=body)
        return await self._call(call, ScoreOutputResponse, NO_SCORE)

    async def close(self) -> None:
        await self.client.get_async_httpx_client().aclose()

    async def _call(self, call: Awaitable[Response[Any]], response_type: type[T], missing: str) -> T:
        """The response; `missing`: what the message begins with where it has another status than 200."""
        try:
            response = await call
        except httpx.HTTPError as error:
            raise self._connection_fault(error) from error
        except PARSER_ERRORS as error:
            raise self._unreadable() from error
        if response.status_code != 200:
            raise self._fault(response.status_code, response.content, missing)
        if not isinstance(response.parsed, response_type):
            raise self._unreadable()
        return response.parsed

    def _connection_fault(self, error: httpx.HTTPError) -> Fault:
        match error:
            case httpx.ConnectError() | httpx.ConnectTimeout():
                return Unavailable(
                    f"Autointerp is not running at {self.url}; start it with `make demo` or "
                    "`make autointerp-localhost-dev`, or set AUTOINTERP_URL.",
                    retry_after=10,
                )
            case httpx.TimeoutException():
                return Unavailable(
                    f"Autointerp at {self.url} gave no answer within {self.seconds:g} s (setting "
                    "MEMICOS_AUTOINTERP_SECONDS)."
                )
        return UpstreamFault(f"The connection to autointerp at {self.url} was interrupted; try again.")

    def _non_empty(self, value: object) -> str:
        """A text of a response; the generated client does not check its type."""
        if not isinstance(value, str) or not value.strip():
            raise self._unreadable()
        return value.strip()

    def _unreadable(self) -> Fault:
        return UpstreamFault(
            f"The server at {self.url} is not an autointerp server of this version of memicos. Set AUTOINTERP_URL to "
            "one that is."
        )

    def _fault(self, status: int, content: bytes, missing: str) -> Fault:
        """The fault for a response with another status than 200; `missing` says who did not give what."""
        try:
            body = json.loads(content)
            message, cause = str(body["error"]), str(body["cause"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return self._unreadable()
        if cause == "forbidden":
            return UpstreamFault(f"The autointerp server at {self.url} refuses the request: {message}")
        if status in (401, 403):
            return UpstreamFault(
                f"The autointerp server at {self.url} refuses the webapp's secret: set AUTOINTERP_SECRET of the webapp "
                "to the server's."
            )
        if cause == "no_key":
            return NotConfigured(f"The autointerp server has no key for a language model. {HOW_TO_SET_KEY}")
        if cause == "unknown_model":
            return BadInput(f"Unsupported explanation type/model: {message}")
        if status in (400, 413, 422):
            return BadInput(message)
        if status == 503:
            return Unavailable(message)
        return UpstreamFault(f"{missing} ({cause}): {message}")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Sets `app.state.autointerp`."""
    app.state.autointerp = AutointerpClient(app.state.settings)
    yield
    await app.state.autointerp.close()
