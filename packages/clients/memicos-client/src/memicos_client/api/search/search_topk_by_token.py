from http import HTTPStatus
from typing import Any, cast

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.error_body import ErrorBody
from ...models.topk_request import TopkRequest
from ...models.topk_result import TopkResult
from ...models.topk_results import TopkResults
from ...types import Response


def _get_kwargs(
    *,
    body: TopkRequest,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api/search-topk-by-token",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorBody | TopkResult | TopkResults | None:
    if response.status_code == 200:

        def _parse_response_200(data: object) -> TopkResult | TopkResults:
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                response_200_type_0 = TopkResult.from_dict(data)

                return response_200_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            if not isinstance(data, dict):
                raise TypeError()
            response_200_type_1 = TopkResults.from_dict(data)

            return response_200_type_1

        response_200 = _parse_response_200(response.json())

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
) -> Response[ErrorBody | TopkResult | TopkResults]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: TopkRequest,
) -> Response[ErrorBody | TopkResult | TopkResults]:
    """Most active features at each token

     The most active features of one source at each token of a text.

    A list of texts gives `results`, one for each, in their order. The number of texts
    (MEMICOS_TEXTS_AT_ONCE) and
    their length in tokens (TOKEN_LIMIT of the inference server) have limits; beyond them the response
    is 400.

    Args:
        body (TopkRequest):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | TopkResult | TopkResults]
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
    body: TopkRequest,
) -> Response[ErrorBody | TopkResult | TopkResults]:
    """Most active features at each token

     The most active features of one source at each token of a text.

    A list of texts gives `results`, one for each, in their order. The number of texts
    (MEMICOS_TEXTS_AT_ONCE) and
    their length in tokens (TOKEN_LIMIT of the inference server) have limits; beyond them the response
    is 400.

    Args:
        body (TopkRequest):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | TopkResult | TopkResults]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


def _result(client: AuthenticatedClient | Client, response: httpx.Response) -> TopkResult | TopkResults:
    errors.raise_for_error(response)
    parsed = _parse_response(client=client, response=response)
    if parsed is None:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    return cast(TopkResult | TopkResults, parsed)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: TopkRequest,
) -> TopkResult | TopkResults:
    """Most active features at each token

     The most active features of one source at each token of a text.

    A list of texts gives `results`, one for each, in their order. The number of texts
    (MEMICOS_TEXTS_AT_ONCE) and
    their length in tokens (TOKEN_LIMIT of the inference server) have limits; beyond them the response
    is 400.

    Args:
        body (TopkRequest):

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        TopkResult | TopkResults
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
    body: TopkRequest,
) -> TopkResult | TopkResults:
    """Most active features at each token

     The most active features of one source at each token of a text.

    A list of texts gives `results`, one for each, in their order. The number of texts
    (MEMICOS_TEXTS_AT_ONCE) and
    their length in tokens (TOKEN_LIMIT of the inference server) have limits; beyond them the response
    is 400.

    Args:
        body (TopkRequest):

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        TopkResult | TopkResults
    """

    return _result(
        client,
        await client.get_async_httpx_client().request(
            **_get_kwargs(
                body=body,
            )
        ),
    )
