"""Running text through a model and steering it, on whichever inference server has the model."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Any, TypeVar

import httpx
from fastapi import Depends, FastAPI, Request
from memicos_inference_client import errors
from memicos_inference_client.api.activation import activation_all, activation_single, activation_topk_by_token
from memicos_inference_client.api.steer import steer_completion, steer_completion_chat
from memicos_inference_client.models import (
    AllRequest,
    AllResponse,
    ChatRequest,
    ChatResponse,
    CompletionRequest,
    CompletionResponse,
    SingleRequest,
    SingleResponse,
    TopkRequest,
    TopkResponse,
)
from memicos_inference_client.sse import StreamError
from memicos_inference_client.types import Response

from memicos_webapp.errors import BadInput
from memicos_webapp.inference.faults import broken_off, refusal, silence, unreadable
from memicos_webapp.inference.hosts import Host, Hosts, Status
from memicos_webapp.settings import Settings

T = TypeVar("T")
F = TypeVar("F", CompletionResponse, ChatResponse)
UNPARSEABLE = (ValueError, KeyError, TypeError, AttributeError)
"""What the generated client raises on JSON of another shape."""


class Inference:
    """Calls of inference. Every failure is a `Fault` whose words say what to do."""

    def __init__(self, settings: Settings) -> None:
        self.hosts = Hosts(settings)

    async def status(self, model: str, sources: list[str]) -> Status:
        return await self.hosts.status(model, sources)

    async def single(self, model: str, source: str, index: int, text: str, ignore_bos: bool) -> SingleResponse:
        """One feature's values over `text`."""
        host, _ = await self.hosts.pick(model, [source])
        body = SingleRequest(prompt=text, model=model, source=source, index=index, ignore_bos=ignore_bos)
        return await _answer(host, activation_single.asyncio_detailed(client=host.client, body=body), SingleResponse)

    async def all(
        self,
        model: str,
        source_set: str,
        sources: list[str],
        text: str,
        sort_indexes: list[int],
        ignore_bos: bool,
        limit: int,
    ) -> AllResponse:
        """The strongest features of `sources` on `text`, at most `limit` or what the server gives at most."""
        host, has = await self.hosts.pick(model, sources)
        body = AllRequest(
            prompt=text,
            model=model,
            source_set=source_set,
            selected_sources=sources,
            sort_by_token_indexes=sort_indexes,
            ignore_bos=ignore_bos,
            num_results=min(limit, has.limits.max_num_results),
        )
        return await _answer(host, activation_all.asyncio_detailed(client=host.client, body=body), AllResponse)

    async def topk_by_token(self, model: str, source: str, text: str, limit: int, ignore_bos: bool) -> TopkResponse:
        """The strongest features of `source` at each token of `text`."""
        host, has = await self.hosts.pick(model, [source])
        body = TopkRequest(
            prompt=text, model=model, source=source, top_k=min(limit, has.limits.max_top_k), ignore_bos=ignore_bos
        )
        call = activation_topk_by_token.asyncio_detailed(client=host.client, body=body)
        return await _answer(host, call, TopkResponse)

    async def complete(self, body: CompletionRequest, sources: list[str]) -> AsyncGenerator[CompletionResponse]:
        """Steered and default completions as they come; closing the iterator ends the work at the server."""
        host, _ = await self.hosts.pick(body.model, sources)
        async with aclosing(_frames(host, steer_completion.astream(client=host.client, body=body))) as frames:
            async for frame in frames:
                yield frame

    async def chat(self, body: ChatRequest, sources: list[str]) -> AsyncGenerator[ChatResponse]:
        """Like `complete`, for a chat."""
        host, _ = await self.hosts.pick(body.model, sources)
        async with aclosing(_frames(host, steer_completion_chat.astream(client=host.client, body=body))) as frames:
            async for frame in frames:
                yield frame


async def _answer(host: Host, call: Awaitable[Response[Any]], wanted: type[T]) -> T:
    """The parsed answer of `call`.

    Raises:
        Fault: there is none; the words say why.
    """
    try:
        response = await call
    except httpx.HTTPError as error:
        host.forget()
        raise silence(host.url, error, host.read_seconds) from error
    except UNPARSEABLE as error:
        raise unreadable(host.url) from error
    if response.status_code != 200:
        host.forget()
        raise refusal(host.url, response.status_code, response.content, response.headers)
    if not isinstance(response.parsed, wanted):
        raise unreadable(host.url)
    return response.parsed


async def _frames(host: Host, frames: AsyncGenerator[F]) -> AsyncGenerator[F]:
    """`frames`, with faults in place of the client's errors, also where the last is not the whole answer."""
    frame: F | None = None
    try:
        async with aclosing(frames):
            async for frame in frames:
                yield frame
    except errors.UnexpectedStatus as error:
        host.forget()
        raise refusal(host.url, error.status_code, error.content, {}) from error
    except StreamError as error:
        host.forget()
        if frame is None and error.cause == "incomplete":
            raise unreadable(host.url) from error
        raise broken_off(host.url, error.error, error.cause) from error
    except httpx.HTTPError as error:
        host.forget()
        raise silence(host.url, error, host.read_seconds) from error
    except UNPARSEABLE as error:
        raise unreadable(host.url) from error
    if frame is not None and not all(output.finished for output in frame.outputs):
        host.forget()
        raise broken_off(host.url, "", "incomplete")


def check_texts(settings: Settings, text: str | list[str]) -> list[str]:
    """The texts of a request that takes one or a list.

    Raises:
        BadInput: there is none, there are too many, or one is empty.
    """
    texts = [text] if isinstance(text, str) else text
    if not 0 < len(texts) <= settings.texts_at_once:
        raise BadInput(f"{len(texts)} texts were sent; 1 to {settings.texts_at_once} are taken at once.")
    if not all(texts):
        raise BadInput("A text is empty: there is nothing to run.")
    return texts


@asynccontextmanager
async def opened(app: FastAPI) -> AsyncIterator[None]:
    """`app.state.inference` while the application runs."""
    app.state.inference = Inference(app.state.settings)
    yield
    for host in app.state.inference.hosts.all:
        await host.close()


async def inference(request: Request) -> Inference:
    return request.app.state.inference


InferenceDep = Annotated[Inference, Depends(inference)]
