import json
from collections.abc import AsyncGenerator, Generator
from http import HTTPStatus
from typing import Any, cast

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.error_body import ErrorBody
from ...models.steer_answer import SteerAnswer
from ...models.steer_delta import SteerDelta
from ...models.steer_request import SteerRequest
from ...sse import aevents, ended, events
from ...types import Response


def _get_kwargs(
    *,
    body: SteerRequest,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api/steer",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorBody | SteerAnswer | None:
    if response.status_code == 200:
        response_200 = SteerAnswer.from_dict(response.json())

        return response_200

    if response.status_code == 400:
        response_400 = ErrorBody.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = ErrorBody.from_dict(response.json())

        return response_401

    if response.status_code == 404:
        response_404 = ErrorBody.from_dict(response.json())

        return response_404

    if response.status_code == 413:
        response_413 = ErrorBody.from_dict(response.json())

        return response_413

    if response.status_code == 422:
        response_422 = ErrorBody.from_dict(response.json())

        return response_422

    if response.status_code == 429:
        response_429 = ErrorBody.from_dict(response.json())

        return response_429

    if response.status_code == 502:
        response_502 = ErrorBody.from_dict(response.json())

        return response_502

    if response.status_code == 503:
        response_503 = ErrorBody.from_dict(response.json())

        return response_503

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorBody | SteerAnswer]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: SteerRequest,
) -> Response[ErrorBody | SteerAnswer]:
    """Steer a completion

     Continue a prompt, steered and unsteered. Completions come without the prompt.

    With `stream` every server-sent event is the whole response so far; the last one has `shareUrl`, and
    the
    log-probabilities, which `frame_logprobs` puts into every event. With `delta` as well, events named
    `delta` hold
    new text only, and the last event the whole response. A stream that fails ends in an event named
    `error`. Closing
    the connection stops the generation.

    The number of features (MEMICOS_STEER_FEATURES), of generated tokens (MEMICOS_STEER_TOKENS), the
    strength
    (MEMICOS_STEER_STRENGTH) and the length of the prompt (TOKEN_LIMIT of the inference server) have
    limits; beyond
    them the response is 400.

    Args:
        body (SteerRequest):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | SteerAnswer]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: SteerRequest,
) -> Response[ErrorBody | SteerAnswer]:
    """Steer a completion

     Continue a prompt, steered and unsteered. Completions come without the prompt.

    With `stream` every server-sent event is the whole response so far; the last one has `shareUrl`, and
    the
    log-probabilities, which `frame_logprobs` puts into every event. With `delta` as well, events named
    `delta` hold
    new text only, and the last event the whole response. A stream that fails ends in an event named
    `error`. Closing
    the connection stops the generation.

    The number of features (MEMICOS_STEER_FEATURES), of generated tokens (MEMICOS_STEER_TOKENS), the
    strength
    (MEMICOS_STEER_STRENGTH) and the length of the prompt (TOKEN_LIMIT of the inference server) have
    limits; beyond
    them the response is 400.

    Args:
        body (SteerRequest):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | SteerAnswer]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


def _result(client: AuthenticatedClient | Client, response: httpx.Response) -> SteerAnswer:
    errors.raise_for_error(response)
    parsed = _parse_response(client=client, response=response)
    if parsed is None:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    return cast(SteerAnswer, parsed)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: SteerRequest,
) -> SteerAnswer:
    """Steer a completion

     Continue a prompt, steered and unsteered. Completions come without the prompt.

    With `stream` every server-sent event is the whole response so far; the last one has `shareUrl`, and
    the
    log-probabilities, which `frame_logprobs` puts into every event. With `delta` as well, events named
    `delta` hold
    new text only, and the last event the whole response. A stream that fails ends in an event named
    `error`. Closing
    the connection stops the generation.

    The number of features (MEMICOS_STEER_FEATURES), of generated tokens (MEMICOS_STEER_TOKENS), the
    strength
    (MEMICOS_STEER_STRENGTH) and the length of the prompt (TOKEN_LIMIT of the inference server) have
    limits; beyond
    them the response is 400.

    Args:
        body (SteerRequest):

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        SteerAnswer
    """

    return _result(
        client,
        client.get_httpx_client().request(
            **_get_kwargs(
                body=body,
            )
        ),
    )


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    body: SteerRequest,
) -> SteerAnswer:
    """Steer a completion

     Continue a prompt, steered and unsteered. Completions come without the prompt.

    With `stream` every server-sent event is the whole response so far; the last one has `shareUrl`, and
    the
    log-probabilities, which `frame_logprobs` puts into every event. With `delta` as well, events named
    `delta` hold
    new text only, and the last event the whole response. A stream that fails ends in an event named
    `error`. Closing
    the connection stops the generation.

    The number of features (MEMICOS_STEER_FEATURES), of generated tokens (MEMICOS_STEER_TOKENS), the
    strength
    (MEMICOS_STEER_STRENGTH) and the length of the prompt (TOKEN_LIMIT of the inference server) have
    limits; beyond
    them the response is 400.

    Args:
        body (SteerRequest):

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        SteerAnswer
    """

    return _result(
        client,
        await client.get_async_httpx_client().request(
            **_get_kwargs(
                body=body,
            )
        ),
    )


def stream(
    *,
    client: AuthenticatedClient | Client,
    body: SteerRequest,
) -> Generator[SteerAnswer, None, None]:
    """Steer a completion, as it comes: each time the whole answer so far.

    Sets `stream` in the body. Leaving the loop closes the connection, which ends the work at the server.

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For another success than 200.
        sse.StreamError: If the server ends the stream early and says why, or it ends without a whole answer.
        httpx.TimeoutException: If the server is silent for longer than Client.timeout.
        httpx.RemoteProtocolError: If the connection breaks off.
    """
    kwargs = _get_kwargs(
        body=body,
    )
    kwargs["json"]["stream"] = True
    kwargs["headers"]["Accept"] = "text/event-stream"

    last = ""
    with client.get_httpx_client().stream(**kwargs) as response:
        for name, data in events(response):
            last = name
            if name == "message":
                yield SteerAnswer.from_dict(json.loads(data))
    ended(last)


async def astream(
    *,
    client: AuthenticatedClient | Client,
    body: SteerRequest,
) -> AsyncGenerator[SteerAnswer, None]:
    """Like `stream`, without blocking. Use `contextlib.aclosing` where the loop may be left early."""
    kwargs = _get_kwargs(
        body=body,
    )
    kwargs["json"]["stream"] = True
    kwargs["headers"]["Accept"] = "text/event-stream"

    last = ""
    async with client.get_async_httpx_client().stream(**kwargs) as response:
        async for name, data in aevents(response):
            last = name
            if name == "message":
                yield SteerAnswer.from_dict(json.loads(data))
    ended(last)


def stream_deltas(
    *,
    client: AuthenticatedClient | Client,
    body: SteerRequest,
) -> Generator[SteerDelta | SteerAnswer, None, None]:
    """Steer a completion, as it comes: what is new each time, and the whole answer at the end.

    Sets `stream` and `delta` in the body. Leaving the loop closes the connection, which ends the work at
    the server.

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For another success than 200.
        sse.StreamError: If the server ends the stream early and says why, or it ends without a whole answer.
        httpx.TimeoutException: If the server is silent for longer than Client.timeout.
        httpx.RemoteProtocolError: If the connection breaks off.
    """
    kwargs = _get_kwargs(
        body=body,
    )
    kwargs["json"]["stream"] = True
    kwargs["json"]["delta"] = True
    kwargs["headers"]["Accept"] = "text/event-stream"

    last = ""
    with client.get_httpx_client().stream(**kwargs) as response:
        for name, data in events(response):
            last = name
            if name == "delta":
                yield SteerDelta.from_dict(json.loads(data))
            if name == "message":
                yield SteerAnswer.from_dict(json.loads(data))
    ended(last)


async def astream_deltas(
    *,
    client: AuthenticatedClient | Client,
    body: SteerRequest,
) -> AsyncGenerator[SteerDelta | SteerAnswer, None]:
    """Like `stream_deltas`, without blocking. Use `contextlib.aclosing` where the loop may be left early."""
    kwargs = _get_kwargs(
        body=body,
    )
    kwargs["json"]["stream"] = True
    kwargs["json"]["delta"] = True
    kwargs["headers"]["Accept"] = "text/event-stream"

    last = ""
    async with client.get_async_httpx_client().stream(**kwargs) as response:
        async for name, data in aevents(response):
            last = name
            if name == "delta":
                yield SteerDelta.from_dict(json.loads(data))
            if name == "message":
                yield SteerAnswer.from_dict(json.loads(data))
    ended(last)
