import json
from collections.abc import AsyncGenerator, Generator
from http import HTTPStatus
from typing import Any, cast

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.error_body import ErrorBody
from ...models.score_explanation_request import ScoreExplanationRequest
from ...models.score_explanation_response import ScoreExplanationResponse
from ...models.score_progress import ScoreProgress
from ...sse import aevents, ended, events
from ...types import Response


def _get_kwargs(
    *,
    body: ScoreExplanationRequest,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/score/explanation",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorBody | ScoreExplanationResponse | None:
    if response.status_code == 200:
        response_200 = ScoreExplanationResponse.from_dict(response.json())

        return response_200

    if response.status_code == 400:
        response_400 = ErrorBody.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = ErrorBody.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = ErrorBody.from_dict(response.json())

        return response_403

    if response.status_code == 413:
        response_413 = ErrorBody.from_dict(response.json())

        return response_413

    if response.status_code == 422:
        response_422 = ErrorBody.from_dict(response.json())

        return response_422

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
) -> Response[ErrorBody | ScoreExplanationResponse]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: ScoreExplanationRequest,
) -> Response[ErrorBody | ScoreExplanationResponse]:
    """Score an explanation by any method

     Score an explanation by `method`, as JSON or with `stream` as server-sent events.

    Texts whose answer failed are excluded and reported. Where fewer than 5 texts of a class are left
    there is no score
    but status 502, and `cause` has the kind of failure. An error after a stream has begun is sent as an
    event named
    `error`, the last one. Closing a stream ends the requests to the language model.

    Args:
        body (ScoreExplanationRequest):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | ScoreExplanationResponse]
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
    body: ScoreExplanationRequest,
) -> Response[ErrorBody | ScoreExplanationResponse]:
    """Score an explanation by any method

     Score an explanation by `method`, as JSON or with `stream` as server-sent events.

    Texts whose answer failed are excluded and reported. Where fewer than 5 texts of a class are left
    there is no score
    but status 502, and `cause` has the kind of failure. An error after a stream has begun is sent as an
    event named
    `error`, the last one. Closing a stream ends the requests to the language model.

    Args:
        body (ScoreExplanationRequest):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | ScoreExplanationResponse]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


def _result(client: AuthenticatedClient | Client, response: httpx.Response) -> ScoreExplanationResponse:
    errors.raise_for_error(response)
    parsed = _parse_response(client=client, response=response)
    if parsed is None:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    return cast(ScoreExplanationResponse, parsed)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: ScoreExplanationRequest,
) -> ScoreExplanationResponse:
    """Score an explanation by any method

     Score an explanation by `method`, as JSON or with `stream` as server-sent events.

    Texts whose answer failed are excluded and reported. Where fewer than 5 texts of a class are left
    there is no score
    but status 502, and `cause` has the kind of failure. An error after a stream has begun is sent as an
    event named
    `error`, the last one. Closing a stream ends the requests to the language model.

    Args:
        body (ScoreExplanationRequest):

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ScoreExplanationResponse
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
    body: ScoreExplanationRequest,
) -> ScoreExplanationResponse:
    """Score an explanation by any method

     Score an explanation by `method`, as JSON or with `stream` as server-sent events.

    Texts whose answer failed are excluded and reported. Where fewer than 5 texts of a class are left
    there is no score
    but status 502, and `cause` has the kind of failure. An error after a stream has begun is sent as an
    event named
    `error`, the last one. Closing a stream ends the requests to the language model.

    Args:
        body (ScoreExplanationRequest):

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ScoreExplanationResponse
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
    body: ScoreExplanationRequest,
) -> Generator[ScoreExplanationResponse, None, None]:
    """Score an explanation by any method, as it comes: each time the whole answer so far.

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
                yield ScoreExplanationResponse.from_dict(json.loads(data))
    ended(last)


async def astream(
    *,
    client: AuthenticatedClient | Client,
    body: ScoreExplanationRequest,
) -> AsyncGenerator[ScoreExplanationResponse, None]:
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
                yield ScoreExplanationResponse.from_dict(json.loads(data))
    ended(last)


def stream_steps(
    *,
    client: AuthenticatedClient | Client,
    body: ScoreExplanationRequest,
) -> Generator[ScoreProgress | ScoreExplanationResponse, None, None]:
    """Score an explanation by any method, as it comes: what is new each time, and the whole answer at the end.

    Sets `stream` and `stream_steps` in the body. Leaving the loop closes the connection, which ends the work at
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
    kwargs["json"]["stream_steps"] = True
    kwargs["headers"]["Accept"] = "text/event-stream"

    last = ""
    with client.get_httpx_client().stream(**kwargs) as response:
        for name, data in events(response):
            last = name
            if name == "step":
                yield ScoreProgress.from_dict(json.loads(data))
            if name == "message":
                yield ScoreExplanationResponse.from_dict(json.loads(data))
    ended(last)


async def astream_steps(
    *,
    client: AuthenticatedClient | Client,
    body: ScoreExplanationRequest,
) -> AsyncGenerator[ScoreProgress | ScoreExplanationResponse, None]:
    """Like `stream_steps`, without blocking. Use `contextlib.aclosing` where the loop may be left early."""
    kwargs = _get_kwargs(
        body=body,
    )
    kwargs["json"]["stream"] = True
    kwargs["json"]["stream_steps"] = True
    kwargs["headers"]["Accept"] = "text/event-stream"

    last = ""
    async with client.get_async_httpx_client().stream(**kwargs) as response:
        async for name, data in aevents(response):
            last = name
            if name == "step":
                yield ScoreProgress.from_dict(json.loads(data))
            if name == "message":
                yield ScoreExplanationResponse.from_dict(json.loads(data))
    ended(last)
