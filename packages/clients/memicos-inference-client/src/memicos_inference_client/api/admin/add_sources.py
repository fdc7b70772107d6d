from http import HTTPStatus
from typing import Any, cast

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.add_sources_request import AddSourcesRequest
from ...models.add_sources_response import AddSourcesResponse
from ...models.error_body import ErrorBody
from ...types import Response


def _get_kwargs(
    *,
    body: AddSourcesRequest,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/admin/sources",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> AddSourcesResponse | ErrorBody | None:
    if response.status_code == 200:
        response_200 = AddSourcesResponse.from_dict(response.json())

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

    if response.status_code == 413:
        response_413 = ErrorBody.from_dict(response.json())

        return response_413

    if response.status_code == 422:
        response_422 = ErrorBody.from_dict(response.json())

        return response_422

    if response.status_code == 503:
        response_503 = ErrorBody.from_dict(response.json())

        return response_503

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[AddSourcesResponse | ErrorBody]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: AddSourcesRequest,
) -> Response[AddSourcesResponse | ErrorBody]:
    """Add sources

     Add sources until the server stops: all sources of an entry, or none.

    Requires that the setting INFERENCE_SECRET is set.

    Errors: 400 for an entry that is unknown, does not fit the model or has an id that is in use; 403 if
    no secret is
    set, or for a folder or repository outside INFERENCE_SAE_ROOTS.

    Args:
        body (AddSourcesRequest): Sources to add.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[AddSourcesResponse | ErrorBody]
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
    body: AddSourcesRequest,
) -> Response[AddSourcesResponse | ErrorBody]:
    """Add sources

     Add sources until the server stops: all sources of an entry, or none.

    Requires that the setting INFERENCE_SECRET is set.

    Errors: 400 for an entry that is unknown, does not fit the model or has an id that is in use; 403 if
    no secret is
    set, or for a folder or repository outside INFERENCE_SAE_ROOTS.

    Args:
        body (AddSourcesRequest): Sources to add.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[AddSourcesResponse | ErrorBody]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


def _result(client: AuthenticatedClient | Client, response: httpx.Response) -> AddSourcesResponse:
    errors.raise_for_error(response)
    parsed = _parse_response(client=client, response=response)
    if parsed is None:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    return cast(AddSourcesResponse, parsed)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: AddSourcesRequest,
) -> AddSourcesResponse:
    """Add sources

     Add sources until the server stops: all sources of an entry, or none.

    Requires that the setting INFERENCE_SECRET is set.

    Errors: 400 for an entry that is unknown, does not fit the model or has an id that is in use; 403 if
    no secret is
    set, or for a folder or repository outside INFERENCE_SAE_ROOTS.

    Args:
        body (AddSourcesRequest): Sources to add.

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        AddSourcesResponse
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
    body: AddSourcesRequest,
) -> AddSourcesResponse:
    """Add sources

     Add sources until the server stops: all sources of an entry, or none.

    Requires that the setting INFERENCE_SECRET is set.

    Errors: 400 for an entry that is unknown, does not fit the model or has an id that is in use; 403 if
    no secret is
    set, or for a folder or repository outside INFERENCE_SAE_ROOTS.

    Args:
        body (AddSourcesRequest): Sources to add.

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        AddSourcesResponse
    """

    return _result(
        client,
        await client.get_async_httpx_client().request(
            **_get_kwargs(
                body=body,
            )
        ),
    )
