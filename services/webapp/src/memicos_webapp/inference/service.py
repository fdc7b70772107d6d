"""Calls of inference: activations on texts, and steering, on a server that has the model."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, TypeVar

import httpx
from fastapi import Depends, Request
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
from memicos_service.disconnect import until_disconnect

from memicos_webapp.errors import Fault
from memicos_webapp.inference.errors import (
    UNPARSEABLE,
    ConnectionsInUse,
    HostLacksSource,
    InferenceDown,
    InferenceFailed,
    InferenceSilent,
    NotServed,
    call_error,
    check_characters,
    concerns_host,
    refusal,
    unreadable,
)
from memicos_webapp.inference.host import Host, Status
from memicos_webapp.inference.hosts import Choice, Hosts
from memicos_webapp.inference.merge import check_same_tokens, merge_all
from memicos_webapp.inference.prompts import Prompt

T = TypeVar("T")
SteerResponse = TypeVar("SteerResponse", CompletionResponse, ChatResponse)
WhileConnected = Callable[[Coroutine[Any, Any, Any]], Coroutine[Any, Any, Any]]
"""Awaits a call, and cancels it when the webapp's own client disconnects."""
Call = Callable[[Choice], Coroutine[Any, Any, Response[Any]]]
"""Calls the chosen host."""
CONCURRENT_SOURCES = 8
"""Largest number of sources that one request reads at the same time."""


@dataclass(frozen=True)
class Inference:
    """Calls of inference for one request. Every failure is a `Fault` whose message says what to do."""

    hosts: Hosts
    while_connected: WhileConnected

    async def status(self, model: str, sources: list[str]) -> Status:
        return await self.hosts.status(model, sources)

    async def single(self, model: str, source: str, index: int, prompt: Prompt, ignore_bos: bool) -> SingleResponse:
        """One feature's values over `prompt`."""
        body = SingleRequest(model=model, source=source, index=index, ignore_bos=ignore_bos, **prompt.fields())
        return await self._single(body, [source], prompt)

    async def project(self, model: str, vector: list[float], hook: str, prompt: Prompt) -> SingleResponse:
        """The dot products of `vector` with the activations at `hook` over `prompt`, a text after BOS by default."""
        fields: dict[str, Any] = prompt.fields() if prompt.messages else {"prepend_bos": True, **prompt.fields()}
        body = SingleRequest(model=model, vector=vector, hook=hook, **fields)
        return await self._single(body, [], prompt)

    async def _single(self, body: SingleRequest, sources: list[str], prompt: Prompt) -> SingleResponse:
        def call(choice: Choice) -> Coroutine[Any, Any, Response[Any]]:
            _check_length(choice, prompt.characters)
            return activation_single.asyncio_detailed(client=choice.host.client, body=body)

        return await self._call_while_connected(body.model, sources, call, SingleResponse)

    async def all(
        self,
        model: str,
        source_set: str,
        sources: list[str],
        prompt: Prompt,
        sort_indexes: list[int],
        ignore_bos: bool,
        limit: int,
    ) -> AllResponse:
        """The strongest features of `sources` on `prompt`, at most `limit` or the hosts' own limit.

        Where no host has all of the sources, each of several ranks its share, and the rankings are merged.
        """
        shares = await self.hosts.split(model, sources)
        limit = min(limit, *(share.capabilities.limits.max_num_results for share in shares))

        def call(choice: Choice) -> Coroutine[Any, Any, Response[Any]]:
            _check_length(choice, prompt.characters)
            body = AllRequest(
                model=model,
                source_set=source_set,
                selected_sources=choice.sources,
                sort_by_token_indexes=sort_indexes,
                ignore_bos=ignore_bos,
                num_results=min(limit, choice.capabilities.limits.max_num_results),
                **prompt.fields(),
            )
            return activation_all.asyncio_detailed(client=choice.host.client, body=body)

        responses = await self.while_connected(
            all_or_none([self._shared(model, share, call, AllResponse) for share in shares])
        )
        return merge_all([response for share in responses for response in share], sources, limit)

    async def active_features(self, model: str, sources: Sequence[str], prompt: Prompt) -> list[SourceResponse]:
        """Every feature of each source that is active on `prompt`, with all its activations; one response per source.

        Activations at ignored positions are included.
        """
        slots = asyncio.Semaphore(CONCURRENT_SOURCES)

        async def read(source: str) -> SourceResponse:
            body = SourceRequest(model=model, source=source, ignore_bos=False, **prompt.batch_fields())

            def call(choice: Choice) -> Coroutine[Any, Any, Response[Any]]:
                _check_length(choice, prompt.characters)
                return activation_source.asyncio_detailed(client=choice.host.client, body=body)

            async with slots:
                return await self._any_host(model, [source], call, SourceResponse)

        responses = await self.while_connected(all_or_none([read(source) for source in sources]))
        check_same_tokens([response.results[0].tokens for response in responses])
        return responses

    async def topk_by_token(
        self, model: str, source: str, prompt: Prompt, limit: int, ignore_bos: bool
    ) -> TopkResponse:
        """The strongest features of `source` at each token of `prompt`."""

        def call(choice: Choice) -> Coroutine[Any, Any, Response[Any]]:
            _check_length(choice, prompt.characters)
            top_k = min(limit, choice.capabilities.limits.max_top_k)
            body = TopkRequest(model=model, source=source, top_k=top_k, ignore_bos=ignore_bos, **prompt.fields())
            return activation_topk_by_token.asyncio_detailed(client=choice.host.client, body=body)

        return await self._call_while_connected(model, [source], call, TopkResponse)

    def complete(
        self, body: CompletionRequest, sources: list[str]
    ) -> AsyncGenerator[SteerDelta | CompletionResponse, None]:
        """Steered and default completions: deltas, then the whole response. Closing the generator cancels the request.

        Raises:
            Fault: no server can serve the request, or the stream ended without the whole response.
        """
        return _deltas(self.hosts, steer_completion.astream_deltas, body, sources, len(body.prompt))

    def chat(self, body: ChatRequest, sources: list[str]) -> AsyncGenerator[SteerDelta | ChatResponse, None]:
        """Like `complete`, for a conversation."""
        characters = sum(len(message.role) + len(message.content) for message in body.prompt)
        return _deltas(self.hosts, steer_completion_chat.astream_deltas, body, sources, characters)

    async def _call_while_connected(self, model: str, sources: list[str], call: Call, expected: type[T]) -> T:
        """`_any_host`, cancelled when the webapp's own client disconnects."""
        return await self.while_connected(self._any_host(model, sources, call, expected))

    async def _any_host(
        self,
        model: str,
        sources: list[str],
        call: Call,
        expected: type[T],
        failed: Mapping[str, Fault] | None = None,
    ) -> T:
        """The parsed response of the least busy host that has all of `sources`, or of the next one where it fails.

        Raises:
            Fault: No host responds; the message says why.
        """
        failed = dict(failed or {})
        while True:
            choice = await self.hosts.pick(model, sources, failed)
            others_serve = partial(self.hosts.others_serve, model, [sources], {*failed, choice.host.name})
            try:
                return await self._response(choice, call, expected, others_serve)
            except Fault as fault:
                failed[choice.host.name] = await _host_fault(choice.host, fault, model, sources)

    async def _shared(self, model: str, share: Choice, call: Call, expected: type[T]) -> list[T]:
        """Responses that cover a host's share of the sources: its own, or those of other hosts where it fails."""
        failed: dict[str, Fault] = {}
        each_source = [[source] for source in share.sources]
        others_serve = partial(self.hosts.others_serve, model, each_source, {share.host.name})
        try:
            return [await self._response(share, call, expected, others_serve)]
        except Fault as fault:
            failed[share.host.name] = await _host_fault(share.host, fault, model, share.sources)
        others = await self.hosts.split(model, share.sources, failed)
        return await all_or_none([self._any_host(model, other.sources, call, expected, failed) for other in others])

    async def _response(self, choice: Choice, call: Call, expected: type[T], others_serve: Callable[[], bool]) -> T:
        """The parsed response of one host.

        Args:
            others_serve: Whether another host is ready that serves the request.

        Raises:
            Fault: There is none; the message says why.
        """
        host = choice.host
        try:
            with host.call():
                response = await host.while_up(call(choice), others_serve)
            return _parsed(host, response, expected)
        except (httpx.HTTPError, *UNPARSEABLE) as error:
            fault = call_error(host.url, error, host.read_seconds)
            _record_fault(host, fault)
            raise fault from error
        except Fault as fault:
            _record_fault(host, fault)
            raise


def _check_length(choice: Choice, characters: int) -> None:
    """Raises BadInput for a prompt that the chosen host would refuse for its characters; it is not sent."""
    limit = choice.capabilities.limits.max_text_characters
    check_characters(characters, limit if isinstance(limit, int) else None)


def _parsed(host: Host, response: Response[Any], expected: type[T]) -> T:
    if response.status_code != 200:
        raise refusal(host.url, response.status_code, response.content, response.headers)
    if not isinstance(response.parsed, expected):
        raise unreadable(host.url)
    if isinstance(response.parsed, SourceResponse) and len(response.parsed.results) != 1:
        raise unreadable(host.url)
    return response.parsed


async def all_or_none(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of calls made at the same time. The first error is raised and cancels the others."""
    tasks = [asyncio.create_task(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _deltas(
    hosts: Hosts,
    stream: Callable[..., AsyncGenerator[SteerDelta | SteerResponse, None]],
    body: CompletionRequest | ChatRequest,
    sources: list[str],
    characters: int,
) -> AsyncGenerator[SteerDelta | SteerResponse, None]:
    """Events of `stream`, from the next host where one fails before its first event.

    The generated client decides whether the stream was complete: its last event is the whole response.
    """
    failed: dict[str, Fault] = {}
    started = False
    while True:
        choice = await hosts.pick(body.model, sources, failed)
        _check_length(choice, characters)
        host = choice.host
        others_serve = partial(hosts.others_serve, body.model, [sources], {*failed, host.name})
        try:
            with host.call():
                async with aclosing(stream(client=host.stream_client, body=body)) as events:
                    first = await host.while_up(_first(events), others_serve)
                    started = True
                    yield first
                    async for event in events:
                        yield event
            return
        except (UnexpectedStatus, StreamError, httpx.HTTPError, InferenceDown, InferenceSilent, *UNPARSEABLE) as error:
            fault = call_error(host.url, error, host.read_seconds, started=started)
            _record_fault(host, fault)
            if started:
                raise fault from error
            failed[host.name] = await _host_fault(host, fault, body.model, sources)


async def _first(events: AsyncGenerator[T, None]) -> T:
    """The first event; the generated client raises an error where a stream has none."""
    return await anext(events)


async def _host_fault(host: Host, fault: Fault, model: str, sources: list[str]) -> Fault:
    """Why `host` cannot serve a request that another host may serve.

    Raises:
        Fault: `fault` itself, where it is about the request and not about the host.
    """
    if concerns_host(fault):
        return fault
    if isinstance(fault, HostLacksSource):
        # the source was removed since the host's capabilities were read
        host.invalidate()
        missing = host.serves(await host.status(), model, sources)
        if isinstance(missing, NotServed):
            return missing
    raise fault


def _record_fault(host: Host, fault: Fault) -> None:
    """Have the host checked again, unless the fault concerns only the request."""
    if isinstance(fault, ConnectionsInUse):
        return
    if concerns_host(fault):
        host.failed()
    elif isinstance(fault, InferenceFailed):
        host.invalidate()


async def inference_of(request: Request) -> Inference:
    return Inference(request.app.state.inference_hosts, partial(until_disconnect, request))


InferenceDep = Annotated[Inference, Depends(inference_of)]
