from http import HTTPStatus
from typing import Any, cast
from urllib.parse import quote

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.error_body import ErrorBody
from ...models.remove_source_response import RemoveSourceResponse
from ...types import Response


def _get_kwargs(
    source_id: str,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "delete",
        "url": "/v1/admin/sources/{source_id}".format(
            source_id=quote(str(source_id), safe=""),
        ),
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorBody | RemoveSourceResponse | None:
    if response.status_code == 200:
        response_200 = RemoveSourceResponse.from_dict(response.json())

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
) -> Response[ErrorBody | RemoveSourceResponse]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    source_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[ErrorBody | RemoveSourceResponse]:
    """Remove a source

     Remove a source until the server restarts.

    Requires that the setting INFERENCE_SECRET is set.

    Errors: 403 if no secret is set; 404 for an unknown source.

    Args:
        source_id (str): Id of the source, for example 7-mine.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | RemoveSourceResponse]
    """

    kwargs = _get_kwargs(
        source_id=source_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


async def asyncio_detailed(
    source_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[ErrorBody | RemoveSourceResponse]:
    """Remove a source

     Remove a source until the server restarts.

    Requires that the setting INFERENCE_SECRET is set.

    Errors: 403 if no secret is set; 404 for an unknown source.

    Args:
        source_id (str): Id of the source, for example 7-mine.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | RemoveSourceResponse]
    """

    kwargs = _get_kwargs(
        source_id=source_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


def _result(client: AuthenticatedClient | Client, response: httpx.Response) -> RemoveSourceResponse:
    errors.raise_for_error(response)
    parsed = _parse_response(client=client, response=response)
    if parsed is None:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    return cast(RemoveSourceResponse, parsed)


def sync(
    source_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> RemoveSourceResponse:
    """Remove a source

     Remove a source until the server restarts.

    Requires that the setting INFERENCE_SECRET is set.

    Errors: 403 if no secret is set; 404 for an unknown source.

    Args:
        source_id (str): Id of the source, for example 7-mine.

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        RemoveSourceResponse
    """

    return _result(
        client,
        client.get_httpx_client().request(
            **_get_kwargs(
                source_id=source_id,
            )
        ),
    )


async def asyncio(
    source_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> RemoveSourceResponse:
    """Remove a source

     Remove a source until the server restarts.

    Requires that the setting INFERENCE_SECRET is set.

    Errors: 403 if no secret is set; 404 for an unknown source.

    Args:
        source_id (str): Id of the source, for example 7-mine.

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        RemoveSourceResponse
    """

    return _result(
        client,
        await client.get_async_httpx_client().request(
            **_get_kwargs(
                source_id=source_id,
            )
        ),
    )
