"""The autointerp server: asking it for an explanation, and what its refusals and silences mean."""

import json
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar

import httpx
from fastapi import Depends, FastAPI, Request
from memicos_autointerp_client import Client
from memicos_autointerp_client.api.explain import explain_default
from memicos_autointerp_client.api.health import health
from memicos_autointerp_client.models import Activation, ExplainRequest, ExplainResponse, HealthResponse
from memicos_autointerp_client.types import Response

from memicos_webapp.errors import BadInput, Fault, Unavailable, UpstreamFault
from memicos_webapp.settings import Settings

T = TypeVar("T")


class Autointerp:
    """Calls of the autointerp server. Every failure is a `Fault` whose words say what to do."""

    def __init__(self, settings: Settings) -> None:
        self.url = settings.autointerp_url.rstrip("/")
        self.seconds = settings.autointerp_seconds
        secret = settings.autointerp_secret
        self.client = Client(
            base_url=self.url,
            headers={"X-SECRET-KEY": secret.get_secret_value()} if secret else {},
            timeout=httpx.Timeout(self.seconds, connect=settings.autointerp_connect_seconds),
            # no proxy stands between two servers of ours
            httpx_args={"trust_env": False},
        )

    async def own_model(self) -> str:
        """The language model that the server takes where a request names none."""
        answer = await self._answer(health.asyncio_detailed(client=self.client), HealthResponse)
        return self._text(answer.model)

    async def explain(self, activations: Sequence[Activation], model: str) -> str:
        """What these texts, strongest first, have in common.

        Raises:
            BadInput: the server has no key, or the provider no such model.
            UpstreamFault, Unavailable: there is no explanation; the words say why.
        """
        body = ExplainRequest(activations=list(activations), model=model)
        answer = await self._answer(explain_default.asyncio_detailed(client=self.client, body=body), ExplainResponse)
        return self._text(answer.explanation)

    async def close(self) -> None:
        await self.client.get_async_httpx_client().aclose()

    async def _answer(self, call: Awaitable[Response[Any]], wanted: type[T]) -> T:
        try:
            response = await call
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unavailable(
                f"Autointerp is not running at {self.url}; start it with `make demo` or "
                "`make autointerp-localhost-dev`, or set AUTOINTERP_URL.",
                retry_after=10,
            ) from error
        except httpx.TimeoutException as error:
            words = f"Autointerp at {self.url} gave no answer within {self.seconds:g} s"
            raise Unavailable(f"{words} (setting MEMICOS_AUTOINTERP_SECONDS).") from error
        except httpx.HTTPError as error:
            raise UpstreamFault(f"The connection to autointerp at {self.url} broke off; try again.") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            # what the generated parsers raise on JSON of another shape
            raise self._unreadable() from error
        if response.status_code != 200:
            raise self._refusal(response.status_code, response.content)
        if not isinstance(response.parsed, wanted):
            raise self._unreadable()
        return response.parsed

    def _text(self, value: object) -> str:
        """A field of an answer that the generated client does not check."""
        if not isinstance(value, str) or not value.strip():
            raise self._unreadable()
        return value.strip()

    def _unreadable(self) -> Fault:
        return UpstreamFault(
            f"{self.url} answers, but not as an autointerp server of this version of memicos. Point AUTOINTERP_URL "
            "at one that does."
        )

    def _refusal(self, status: int, content: bytes) -> Fault:
        """The fault for an answer other than 200."""
        try:
            body = json.loads(content)
            message, cause = str(body["error"]), str(body["cause"])
        except (ValueError, KeyError, TypeError):
            return self._unreadable()
        if status in (401, 403):
            return UpstreamFault(
                f"The autointerp server at {self.url} refuses the webapp's secret: set AUTOINTERP_SECRET of the webapp "
                "to what the server has."
            )
        if cause == "no_key":
            return BadInput(
                "No auto-interp key found for user. The autointerp server has no key for a language model: set "
                "AUTOINTERP_API_KEY (and AUTOINTERP_BASE_URL), and start it again."
            )
        if cause == "unknown_model":
            return BadInput(f"Unsupported explanation type/model: {message}")
        if status in (400, 413, 422):
            return BadInput(message)
        if status == 503:
            return Unavailable(message)
        return UpstreamFault(f"The language model gave no explanation ({cause}): {message}")


@asynccontextmanager
async def opened(app: FastAPI) -> AsyncIterator[None]:
    """`app.state.autointerp` while the application runs."""
    app.state.autointerp = Autointerp(app.state.settings)
    yield
    await app.state.autointerp.close()


async def autointerp(request: Request) -> Autointerp:
    return request.app.state.autointerp


AutointerpDep = Annotated[Autointerp, Depends(autointerp)]
