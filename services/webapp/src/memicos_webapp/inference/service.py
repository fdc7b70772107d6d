"""Calls of inference: text through a model, and steering, on whichever server has the model."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, TypeVar

import httpx
from fastapi import Depends, FastAPI, Request
from memicos_inference_client.api.activation import (
    activation_all,
    activation_single,
    activation_source,
    activation_topk_by_token,
)
from memicos_inference_client.api.steer import steer_completion, steer_completion_chat
from memicos_inference_client.errors import UnexpectedStatus
from memicos_inference_client.models import (
    AllRequest,
    AllResponse,
    ChatRequest,
    ChatResponse,
    CompletionRequest,
    CompletionResponse,
    SingleRequest,
    SingleResponse,
    SourceRequest,
    SourceResponse,
    SteerDelta,
    TopkRequest,
    TopkResponse,
)
from memicos_inference_client.sse import StreamError
from memicos_inference_client.types import Response

from memicos_webapp.errors import BadInput, Fault
from memicos_webapp.inference.disconnect import until_disconnect
from memicos_webapp.inference.errors import UNPARSEABLE, call_error, refusal, unreadable
from memicos_webapp.inference.hosts import Host, Hosts, Status
from memicos_webapp.settings import Settings

T = TypeVar("T")
Steered = TypeVar("Steered", CompletionResponse, ChatResponse)
WhileConnected = Callable[[Coroutine[Any, Any, Any]], Coroutine[Any, Any, Any]]
"""Awaits a call, and cancels it when the webapp's own client disconnects."""
CONCURRENT_SOURCES = 8
"""Sources that one request has read at the same time."""


@dataclass(frozen=True)
class Inference:
    """Calls of inference for one request. Every failure is a `Fault` whose message says what to do."""

    hosts: Hosts
    while_connected: WhileConnected

    async def status(self, model: str, sources: list[str]) -> Status:
        return await self.hosts.status(model, sources)

    async def single(self, model: str, source: str, index: int, text: str, ignore_bos: bool) -> SingleResponse:
        """One feature's values over `text`."""
        host, _ = await self.hosts.pick(model, [source])
        body = SingleRequest(prompt=text, model=model, source=source, index=index, ignore_bos=ignore_bos)
        call = activation_single.asyncio_detailed(client=host.client, body=body)
        return await self._answer(host, call, SingleResponse)

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
        """The strongest features of `sources` on `text`, at most `limit` or the server's own limit."""
        host, capabilities = await self.hosts.pick(model, sources)
        body = AllRequest(
            prompt=text,
            model=model,
            source_set=source_set,
            selected_sources=sources,
            sort_by_token_indexes=sort_indexes,
            ignore_bos=ignore_bos,
            num_results=min(limit, capabilities.limits.max_num_results),
        )
        return await self._answer(host, activation_all.asyncio_detailed(client=host.client, body=body), AllResponse)

    async def active_features(self, model: str, sources: Sequence[str], text: str) -> list[SourceResponse]:
        """Every feature of each source that is active on `text`, with all its activations; one response per source.

        Activations at ignored positions are included.
        """
        host, _ = await self.hosts.pick(model, list(sources))
        slots = asyncio.Semaphore(CONCURRENT_SOURCES)

        async def read(source: str) -> Response[Any]:
            body = SourceRequest(prompts=[text], model=model, source=source, ignore_bos=False)
            async with slots:
                return await activation_source.asyncio_detailed(client=host.client, body=body)

        responses = await self._responses(host, _all_or_none([read(source) for source in sources]))
        parsed = [self._parsed(host, response, SourceResponse) for response in responses]
        if not all(len(response.results) == 1 for response in parsed):
            raise unreadable(host.url)
        return parsed

    async def topk_by_token(self, model: str, source: str, text: str, limit: int, ignore_bos: bool) -> TopkResponse:
        """The strongest features of `source` at each token of `text`."""
        host, capabilities = await self.hosts.pick(model, [source])
        limit = min(limit, capabilities.limits.max_top_k)
        body = TopkRequest(prompt=text, model=model, source=source, top_k=limit, ignore_bos=ignore_bos)
        call = activation_topk_by_token.asyncio_detailed(client=host.client, body=body)
        return await self._answer(host, call, TopkResponse)

    def complete(
        self, body: CompletionRequest, sources: list[str]
    ) -> AsyncGenerator[SteerDelta | CompletionResponse, None]:
        """Steered and default completions: deltas, then the whole answer. Closing the generator ends the work.

        Raises:
            Fault: Inference cannot do it, or the stream ended without the whole answer.
        """
        return _deltas(self.hosts, steer_completion.astream_deltas, body, sources)

    def chat(self, body: ChatRequest, sources: list[str]) -> AsyncGenerator[SteerDelta | ChatResponse, None]:
        """Like `complete`, for a conversation."""
        return _deltas(self.hosts, steer_completion_chat.astream_deltas, body, sources)

    async def _answer(self, host: Host, call: Coroutine[Any, Any, Response[Any]], expected: type[T]) -> T:
        """The parsed answer of `call`.

        Raises:
            Fault: There is none; the message says why.
        """
        return self._parsed(host, await self._responses(host, call), expected)

    async def _responses(self, host: Host, call: Coroutine[Any, Any, T]) -> T:
        """The result of `call`, with a `Fault` in place of an error of the connection or of the client's parser."""
        try:
            return await self.while_connected(call)
        except (httpx.HTTPError, *UNPARSEABLE) as error:
            host.invalidate()
            raise call_error(host.url, error, host.read_seconds) from error

    def _parsed(self, host: Host, response: Response[Any], expected: type[T]) -> T:
        if response.status_code != 200:
            fault = refusal(host.url, response.status_code, response.content, response.headers)
            _note(host, fault)
            raise fault
        if not isinstance(response.parsed, expected):
            raise unreadable(host.url)
        return response.parsed


async def _all_or_none(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of calls made at the same time. The first error is raised and cancels the others."""
    tasks = [asyncio.create_task(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _deltas(
    hosts: Hosts,
    stream: Callable[..., AsyncGenerator[SteerDelta | Steered, None]],
    body: CompletionRequest | ChatRequest,
    sources: list[str],
) -> AsyncGenerator[SteerDelta | Steered, None]:
    """Events of `stream`. The generated client decides whether it was whole: its last event is the answer."""
    host, _ = await hosts.pick(body.model, sources)
    begun = False
    try:
        async with aclosing(stream(client=host.client, body=body)) as events:
            async for event in events:
                begun = True
                yield event
    except (UnexpectedStatus, StreamError, httpx.HTTPError, *UNPARSEABLE) as error:
        fault = call_error(host.url, error, host.read_seconds, begun=begun)
        _note(host, fault)
        raise fault from error


def _note(host: Host, fault: Fault) -> None:
    """Have the host checked again, unless the fault is about the request only."""
    if not isinstance(fault, BadInput):
        host.invalidate()


def check_texts(settings: Settings, text: str | list[str]) -> list[str]:
    """The texts of a request that takes one or a list.

    Raises:
        BadInput: There is none, there are too many, or one is empty.
    """
    texts = [text] if isinstance(text, str) else text
    if not 0 < len(texts) <= settings.texts_at_once:
        raise BadInput(f"{len(texts)} texts were sent; 1 to {settings.texts_at_once} are taken at once.")
    if not all(texts):
        raise BadInput("A text is empty: there is nothing to run.")
    return texts


@asynccontextmanager
async def inference_lifespan(app: FastAPI) -> AsyncIterator[None]:
    """`app.state.inference_hosts` while the application runs."""
    app.state.inference_hosts = Hosts(app.state.settings)
    yield
    await app.state.inference_hosts.close()


async def inference_of(request: Request) -> Inference:
    return Inference(request.app.state.inference_hosts, partial(until_disconnect, request))


InferenceDep = Annotated[Inference, Depends(inference_of)]
