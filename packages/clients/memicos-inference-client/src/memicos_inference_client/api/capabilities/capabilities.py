from http import HTTPStatus
from typing import Any, cast

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.capabilities_response import CapabilitiesResponse
from ...models.error_body import ErrorBody
from ...types import Response


def _get_kwargs() -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/capabilities",
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> CapabilitiesResponse | ErrorBody | None:
    if response.status_code == 200:
        response_200 = CapabilitiesResponse.from_dict(response.json())

        return response_200

    if response.status_code == 401:
        response_401 = ErrorBody.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = ErrorBody.from_dict(response.json())

        return response_403

    if response.status_code == 503:
        response_503 = ErrorBody.from_dict(response.json())

        return response_503

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[CapabilitiesResponse | ErrorBody]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
) -> Response[CapabilitiesResponse | ErrorBody]:
    """Model, sources and limits

     Return the model, its sources with their recipes, the endpoints, their limitations and the limits of
    requests.

    Responds at once, also while the model is busy.

    Errors: 503 while the model loads (`loading`) or if it cannot be loaded (`load_failed`).

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[CapabilitiesResponse | ErrorBody]
    """

    kwargs = _get_kwargs()

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
) -> Response[CapabilitiesResponse | ErrorBody]:
    """Model, sources and limits

     Return the model, its sources with their recipes, the endpoints, their limitations and the limits of
    requests.

    Responds at once, also while the model is busy.

    Errors: 503 while the model loads (`loading`) or if it cannot be loaded (`load_failed`).

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[CapabilitiesResponse | ErrorBody]
    """

    kwargs = _get_kwargs()

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


def _result(client: AuthenticatedClient | Client, response: httpx.Response) -> CapabilitiesResponse:
    errors.raise_for_error(response)
    parsed = _parse_response(client=client, response=response)
    if parsed is None:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    return cast(CapabilitiesResponse, parsed)


def sync(
    *,
    client: AuthenticatedClient | Client,
) -> CapabilitiesResponse:
    """Model, sources and limits

     Return the model, its sources with their recipes, the endpoints, their limitations and the limits of
    requests.

    Responds at once, also while the model is busy.

    Errors: 503 while the model loads (`loading`) or if it cannot be loaded (`load_failed`).

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        CapabilitiesResponse
    """

    return _result(client, client.get_httpx_client().request(**_get_kwargs()))


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
) -> CapabilitiesResponse:
    """Model, sources and limits

     Return the model, its sources with their recipes, the endpoints, their limitations and the limits of
    requests.

    Responds at once, also while the model is busy.

    Errors: 503 while the model loads (`loading`) or if it cannot be loaded (`load_failed`).

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        CapabilitiesResponse
    """

    return _result(client, await client.get_async_httpx_client().request(**_get_kwargs()))
