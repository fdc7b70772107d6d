from http import HTTPStatus
from typing import Any, cast

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.available import Available
from ...models.error_body import ErrorBody
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    location: None | str | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    json_location: None | str | Unset
    if isinstance(location, Unset):
        json_location = UNSET
    else:
        json_location = location
    params["location"] = json_location

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/api/admin/data/available",
        "params": params,
    }

    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Available | ErrorBody | None:
    if response.status_code == 200:
        response_200 = Available.from_dict(response.json())

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
) -> Response[Available | ErrorBody]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    location: None | str | Unset = UNSET,
) -> Response[Available | ErrorBody]:
    """List what can be imported

     Folders at a location of the import roots (`MEMICOS_IMPORT_ROOTS`).

    Args:
        location (None | str | Unset): folder or URL; without it the roots are listed

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Available | ErrorBody]
    """

    kwargs = _get_kwargs(
        location=location,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    location: None | str | Unset = UNSET,
) -> Response[Available | ErrorBody]:
    """List what can be imported

     Folders at a location of the import roots (`MEMICOS_IMPORT_ROOTS`).

    Args:
        location (None | str | Unset): folder or URL; without it the roots are listed

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Available | ErrorBody]
    """

    kwargs = _get_kwargs(
        location=location,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


def _result(client: AuthenticatedClient | Client, response: httpx.Response) -> Available:
    errors.raise_for_error(response)
    parsed = _parse_response(client=client, response=response)
    if parsed is None:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    return cast(Available, parsed)


def sync(
    *,
    client: AuthenticatedClient | Client,
    location: None | str | Unset = UNSET,
) -> Available:
    """List what can be imported

     Folders at a location of the import roots (`MEMICOS_IMPORT_ROOTS`).

    Args:
        location (None | str | Unset): folder or URL; without it the roots are listed

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Available
    """

    return _result(
        client,
        client.get_httpx_client().request(
            **_get_kwargs(
                location=location,
            )
        ),
    )


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    location: None | str | Unset = UNSET,
) -> Available:
    """List what can be imported

     Folders at a location of the import roots (`MEMICOS_IMPORT_ROOTS`).

    Args:
        location (None | str | Unset): folder or URL; without it the roots are listed

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Available
    """

    return _result(
        client,
        await client.get_async_httpx_client().request(
            **_get_kwargs(
                location=location,
            )
        ),
    )
