from http import HTTPStatus
from typing import Any, cast

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.error_body import ErrorBody
from ...models.search_all_request import SearchAllRequest
from ...models.search_all_result import SearchAllResult
from ...models.search_all_results import SearchAllResults
from ...types import Response


def _get_kwargs(
    *,
    body: SearchAllRequest,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api/search-all",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorBody | SearchAllResult | SearchAllResults | None:
    if response.status_code == 200:

        def _parse_response_200(data: object) -> SearchAllResult | SearchAllResults:
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                response_200_type_0 = SearchAllResult.from_dict(data)

                return response_200_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            if not isinstance(data, dict):
                raise TypeError()
            response_200_type_1 = SearchAllResults.from_dict(data)

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
) -> Response[ErrorBody | SearchAllResult | SearchAllResults]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: SearchAllRequest,
) -> Response[ErrorBody | SearchAllResult | SearchAllResults]:
    """Search features by activation on a text

     The features of a source set that are most active on a text, over all its sources.

    A list of texts gives `results`, one for each, in their order. `rank` chooses between the activation
    itself and its
    share of the feature's maximum activation. The number of texts (MEMICOS_TEXTS_AT_ONCE) and their
    length in tokens
    (TOKEN_LIMIT of the inference server) have limits; beyond them the response is 400.

    Args:
        body (SearchAllRequest):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | SearchAllResult | SearchAllResults]
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
    body: SearchAllRequest,
) -> Response[ErrorBody | SearchAllResult | SearchAllResults]:
    """Search features by activation on a text

     The features of a source set that are most active on a text, over all its sources.

    A list of texts gives `results`, one for each, in their order. `rank` chooses between the activation
    itself and its
    share of the feature's maximum activation. The number of texts (MEMICOS_TEXTS_AT_ONCE) and their
    length in tokens
    (TOKEN_LIMIT of the inference server) have limits; beyond them the response is 400.

    Args:
        body (SearchAllRequest):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | SearchAllResult | SearchAllResults]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


def _result(client: AuthenticatedClient | Client, response: httpx.Response) -> SearchAllResult | SearchAllResults:
    errors.raise_for_error(response)
    parsed = _parse_response(client=client, response=response)
    if parsed is None:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    return cast(SearchAllResult | SearchAllResults, parsed)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: SearchAllRequest,
) -> SearchAllResult | SearchAllResults:
    """Search features by activation on a text

     The features of a source set that are most active on a text, over all its sources.

    A list of texts gives `results`, one for each, in their order. `rank` chooses between the activation
    itself and its
    share of the feature's maximum activation. The number of texts (MEMICOS_TEXTS_AT_ONCE) and their
    length in tokens
    (TOKEN_LIMIT of the inference server) have limits; beyond them the response is 400.

    Args:
        body (SearchAllRequest):

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        SearchAllResult | SearchAllResults
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
    body: SearchAllRequest,
) -> SearchAllResult | SearchAllResults:
    """Search features by activation on a text

     The features of a source set that are most active on a text, over all its sources.

    A list of texts gives `results`, one for each, in their order. `rank` chooses between the activation
    itself and its
    share of the feature's maximum activation. The number of texts (MEMICOS_TEXTS_AT_ONCE) and their
    length in tokens
    (TOKEN_LIMIT of the inference server) have limits; beyond them the response is 400.

    Args:
        body (SearchAllRequest):

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        SearchAllResult | SearchAllResults
    """

    return _result(
        client,
        await client.get_async_httpx_client().request(
            **_get_kwargs(
                body=body,
            )
        ),
    )
