from http import HTTPStatus
from typing import Any, cast

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.error_body import ErrorBody
from ...models.plan import Plan
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    location: str,
    source: list[str] | None | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["location"] = location

    json_source: list[str] | None | Unset
    if isinstance(source, Unset):
        json_source = UNSET
    elif isinstance(source, list):
        json_source = source

    else:
        json_source = source
    params["source"] = json_source

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/api/admin/data/plan",
        "params": params,
    }

    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> ErrorBody | Plan | None:
    if response.status_code == 200:
        response_200 = Plan.from_dict(response.json())

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


def _build_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Response[ErrorBody | Plan]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    location: str,
    source: list[str] | None | Unset = UNSET,
) -> Response[ErrorBody | Plan]:
    """Show what an import would do

     Sources, sizes and the space needed against what is free.

    Args:
        location (str): folder or URL in one of the import roots
        source (list[str] | None | Unset): sources of the public layout; none: all

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | Plan]
    """

    kwargs = _get_kwargs(
        location=location,
        source=source,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    location: str,
    source: list[str] | None | Unset = UNSET,
) -> Response[ErrorBody | Plan]:
    """Show what an import would do

     Sources, sizes and the space needed against what is free.

    Args:
        location (str): folder or URL in one of the import roots
        source (list[str] | None | Unset): sources of the public layout; none: all

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | Plan]
    """

    kwargs = _get_kwargs(
        location=location,
        source=source,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


def _result(client: AuthenticatedClient | Client, response: httpx.Response) -> Plan:
    errors.raise_for_error(response)
    parsed = _parse_response(client=client, response=response)
    if parsed is None:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    return cast(Plan, parsed)


def sync(
    *,
    client: AuthenticatedClient | Client,
    location: str,
    source: list[str] | None | Unset = UNSET,
) -> Plan:
    """Show what an import would do

     Sources, sizes and the space needed against what is free.

    Args:
        location (str): folder or URL in one of the import roots
        source (list[str] | None | Unset): sources of the public layout; none: all

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Plan
    """

    return _result(
        client,
        client.get_httpx_client().request(
            **_get_kwargs(
                location=location,
                source=source,
            )
        ),
    )


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    location: str,
    source: list[str] | None | Unset = UNSET,
) -> Plan:
    """Show what an import would do

     Sources, sizes and the space needed against what is free.

    Args:
        location (str): folder or URL in one of the import roots
        source (list[str] | None | Unset): sources of the public layout; none: all

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Plan
    """

    return _result(
        client,
        await client.get_async_httpx_client().request(
            **_get_kwargs(
                location=location,
                source=source,
            )
        ),
    )
