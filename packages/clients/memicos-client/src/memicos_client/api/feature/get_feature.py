from http import HTTPStatus
from typing import Any, cast
from urllib.parse import quote

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.error_body import ErrorBody
from ...models.feature_body import FeatureBody
from ...types import Response


def _get_kwargs(
    model: str,
    source: str,
    index: int | str,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/api/feature/{model}/{source}/{index}".format(
            model=quote(str(model), safe=""),
            source=quote(str(source), safe=""),
            index=quote(str(index), safe=""),
        ),
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorBody | FeatureBody | None:
    if response.status_code == 200:
        response_200 = FeatureBody.from_dict(response.json())

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
) -> Response[ErrorBody | FeatureBody]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    model: str,
    source: str,
    index: int | str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[ErrorBody | FeatureBody]:
    """Get a feature

     Everything that a feature's dashboard shows, with all examples and explanations.

    The index is below the source's number of features; 404 says which indexes there are.

    Args:
        model (str): id of the model
        source (str): id of the source, such as 15-res-4k
        index (int | str): index of the feature, a whole number from 0 on

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | FeatureBody]
    """

    kwargs = _get_kwargs(
        model=model,
        source=source,
        index=index,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


async def asyncio_detailed(
    model: str,
    source: str,
    index: int | str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[ErrorBody | FeatureBody]:
    """Get a feature

     Everything that a feature's dashboard shows, with all examples and explanations.

    The index is below the source's number of features; 404 says which indexes there are.

    Args:
        model (str): id of the model
        source (str): id of the source, such as 15-res-4k
        index (int | str): index of the feature, a whole number from 0 on

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | FeatureBody]
    """

    kwargs = _get_kwargs(
        model=model,
        source=source,
        index=index,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


def _result(client: AuthenticatedClient | Client, response: httpx.Response) -> FeatureBody:
    errors.raise_for_error(response)
    parsed = _parse_response(client=client, response=response)
    if parsed is None:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    return cast(FeatureBody, parsed)


def sync(
    model: str,
    source: str,
    index: int | str,
    *,
    client: AuthenticatedClient | Client,
) -> FeatureBody:
    """Get a feature

     Everything that a feature's dashboard shows, with all examples and explanations.

    The index is below the source's number of features; 404 says which indexes there are.

    Args:
        model (str): id of the model
        source (str): id of the source, such as 15-res-4k
        index (int | str): index of the feature, a whole number from 0 on

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        FeatureBody
    """

    return _result(
        client,
        client.get_httpx_client().request(
            **_get_kwargs(
                model=model,
                source=source,
                index=index,
            )
        ),
    )


async def asyncio(
    model: str,
    source: str,
    index: int | str,
    *,
    client: AuthenticatedClient | Client,
) -> FeatureBody:
    """Get a feature

     Everything that a feature's dashboard shows, with all examples and explanations.

    The index is below the source's number of features; 404 says which indexes there are.

    Args:
        model (str): id of the model
        source (str): id of the source, such as 15-res-4k
        index (int | str): index of the feature, a whole number from 0 on

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        FeatureBody
    """

    return _result(
        client,
        await client.get_async_httpx_client().request(
            **_get_kwargs(
                model=model,
                source=source,
                index=index,
            )
        ),
    )
