import json
from collections.abc import AsyncGenerator, Generator
from http import HTTPStatus
from typing import Any, cast

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.error_body import ErrorBody
from ...models.score_generated import ScoreGenerated
from ...models.score_request import ScoreRequest
from ...models.score_step import ScoreStep
from ...sse import aevents, ended, events
from ...types import Response


def _get_kwargs(
    *,
    body: ScoreRequest,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api/explanation/score",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorBody | ScoreGenerated | None:
    if response.status_code == 200:
        response_200 = ScoreGenerated.from_dict(response.json())

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

    if response.status_code == 404:
        response_404 = ErrorBody.from_dict(response.json())

        return response_404

    if response.status_code == 409:
        response_409 = ErrorBody.from_dict(response.json())

        return response_409

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
) -> Response[ErrorBody | ScoreGenerated]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: ScoreRequest,
) -> Response[ErrorBody | ScoreGenerated]:
    """Score an explanation

     Score an explanation on its feature's examples and on texts on which the model shows that it is not
    active.

    The score is stored with its breakdown and cost. A new score takes the place of your earlier one by
    the same method
    and model, and a failure stores nothing: it can be tried again at once. Methods whose names begin
    with `output_`
    compare what the feature does to the output. With `stream` the response is server-sent events: with
    `streamSteps`
    `step` after each step, at last the score; closing the connection ends the work. Beyond loopback it
    takes the
    owner's session or an API key with the scope `write` in `X-Api-Key` (403 otherwise).

    Args:
        body (ScoreRequest): An explanation, the method, and the language model that judges.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | ScoreGenerated]
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
    body: ScoreRequest,
) -> Response[ErrorBody | ScoreGenerated]:
    """Score an explanation

     Score an explanation on its feature's examples and on texts on which the model shows that it is not
    active.

    The score is stored with its breakdown and cost. A new score takes the place of your earlier one by
    the same method
    and model, and a failure stores nothing: it can be tried again at once. Methods whose names begin
    with `output_`
    compare what the feature does to the output. With `stream` the response is server-sent events: with
    `streamSteps`
    `step` after each step, at last the score; closing the connection ends the work. Beyond loopback it
    takes the
    owner's session or an API key with the scope `write` in `X-Api-Key` (403 otherwise).

    Args:
        body (ScoreRequest): An explanation, the method, and the language model that judges.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | ScoreGenerated]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


def _result(client: AuthenticatedClient | Client, response: httpx.Response) -> ScoreGenerated:
    errors.raise_for_error(response)
    parsed = _parse_response(client=client, response=response)
    if parsed is None:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    return cast(ScoreGenerated, parsed)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: ScoreRequest,
) -> ScoreGenerated:
    """Score an explanation

     Score an explanation on its feature's examples and on texts on which the model shows that it is not
    active.

    The score is stored with its breakdown and cost. A new score takes the place of your earlier one by
    the same method
    and model, and a failure stores nothing: it can be tried again at once. Methods whose names begin
    with `output_`
    compare what the feature does to the output. With `stream` the response is server-sent events: with
    `streamSteps`
    `step` after each step, at last the score; closing the connection ends the work. Beyond loopback it
    takes the
    owner's session or an API key with the scope `write` in `X-Api-Key` (403 otherwise).

    Args:
        body (ScoreRequest): An explanation, the method, and the language model that judges.

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ScoreGenerated
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
    body: ScoreRequest,
) -> ScoreGenerated:
    """Score an explanation

     Score an explanation on its feature's examples and on texts on which the model shows that it is not
    active.

    The score is stored with its breakdown and cost. A new score takes the place of your earlier one by
    the same method
    and model, and a failure stores nothing: it can be tried again at once. Methods whose names begin
    with `output_`
    compare what the feature does to the output. With `stream` the response is server-sent events: with
    `streamSteps`
    `step` after each step, at last the score; closing the connection ends the work. Beyond loopback it
    takes the
    owner's session or an API key with the scope `write` in `X-Api-Key` (403 otherwise).

    Args:
        body (ScoreRequest): An explanation, the method, and the language model that judges.

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ScoreGenerated
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
    body: ScoreRequest,
) -> Generator[ScoreGenerated, None, None]:
    """Score an explanation, as it comes: each time the whole answer so far.

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
                yield ScoreGenerated.from_dict(json.loads(data))
    ended(last)


async def astream(
    *,
    client: AuthenticatedClient | Client,
    body: ScoreRequest,
) -> AsyncGenerator[ScoreGenerated, None]:
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
                yield ScoreGenerated.from_dict(json.loads(data))
    ended(last)


def stream_steps(
    *,
    client: AuthenticatedClient | Client,
    body: ScoreRequest,
) -> Generator[ScoreStep | ScoreGenerated, None, None]:
    """Score an explanation, as it comes: what is new each time, and the whole answer at the end.

    Sets `stream` and `streamSteps` in the body. Leaving the loop closes the connection, which ends the work at
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
    kwargs["json"]["streamSteps"] = True
    kwargs["headers"]["Accept"] = "text/event-stream"

    last = ""
    with client.get_httpx_client().stream(**kwargs) as response:
        for name, data in events(response):
            last = name
            if name == "step":
                yield ScoreStep.from_dict(json.loads(data))
            if name == "message":
                yield ScoreGenerated.from_dict(json.loads(data))
    ended(last)


async def astream_steps(
    *,
    client: AuthenticatedClient | Client,
    body: ScoreRequest,
) -> AsyncGenerator[ScoreStep | ScoreGenerated, None]:
    """Like `stream_steps`, without blocking. Use `contextlib.aclosing` where the loop may be left early."""
    kwargs = _get_kwargs(
        body=body,
    )
    kwargs["json"]["stream"] = True
    kwargs["json"]["streamSteps"] = True
    kwargs["headers"]["Accept"] = "text/event-stream"

    last = ""
    async with client.get_async_httpx_client().stream(**kwargs) as response:
        async for name, data in aevents(response):
            last = name
            if name == "step":
                yield ScoreStep.from_dict(json.loads(data))
            if name == "message":
                yield ScoreGenerated.from_dict(json.loads(data))
    ended(last)
