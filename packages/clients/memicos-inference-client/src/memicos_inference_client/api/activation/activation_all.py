from http import HTTPStatus
from typing import Any, cast

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.all_request import AllRequest
from ...models.all_response import AllResponse
from ...models.error_body import ErrorBody
from ...types import Response


def _get_kwargs(
    *,
    body: AllRequest,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/activation/all",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> AllResponse | ErrorBody | None:
    if response.status_code == 200:
        response_200 = AllResponse.from_dict(response.json())

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

    if response.status_code == 503:
        response_503 = ErrorBody.from_dict(response.json())

        return response_503

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[AllResponse | ErrorBody]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: AllRequest,
) -> Response[AllResponse | ErrorBody]:
    """The strongest features of several sources

     Return the features of several sources with the largest activations on a prompt.

    Errors: 400 for an unknown model, source set or source, sources that differ in BOS, more sources
    than
    `max_loaded_saes` or `sae_bytes` allow, a `num_results` above `max_num_results`, a response of more
    than
    `max_values` values, not exactly one of text and messages, messages without a chat template, or a
    prompt with no
    tokens or more than `token_limit`.

    Args:
        body (AllRequest): The strongest features of several sources on one prompt.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[AllResponse | ErrorBody]
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
    body: AllRequest,
) -> Response[AllResponse | ErrorBody]:
    """The strongest features of several sources

     Return the features of several sources with the largest activations on a prompt.

    Errors: 400 for an unknown model, source set or source, sources that differ in BOS, more sources
    than
    `max_loaded_saes` or `sae_bytes` allow, a `num_results` above `max_num_results`, a response of more
    than
    `max_values` values, not exactly one of text and messages, messages without a chat template, or a
    prompt with no
    tokens or more than `token_limit`.

    Args:
        body (AllRequest): The strongest features of several sources on one prompt.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[AllResponse | ErrorBody]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


def _result(client: AuthenticatedClient | Client, response: httpx.Response) -> AllResponse:
    errors.raise_for_error(response)
    parsed = _parse_response(client=client, response=response)
    if parsed is None:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    return cast(AllResponse, parsed)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: AllRequest,
) -> AllResponse:
    """The strongest features of several sources

     Return the features of several sources with the largest activations on a prompt.

    Errors: 400 for an unknown model, source set or source, sources that differ in BOS, more sources
    than
    `max_loaded_saes` or `sae_bytes` allow, a `num_results` above `max_num_results`, a response of more
    than
    `max_values` values, not exactly one of text and messages, messages without a chat template, or a
    prompt with no
    tokens or more than `token_limit`.

    Args:
        body (AllRequest): The strongest features of several sources on one prompt.

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        AllResponse
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
    body: AllRequest,
) -> AllResponse:
    """The strongest features of several sources

     Return the features of several sources with the largest activations on a prompt.

    Errors: 400 for an unknown model, source set or source, sources that differ in BOS, more sources
    than
    `max_loaded_saes` or `sae_bytes` allow, a `num_results` above `max_num_results`, a response of more
    than
    `max_values` values, not exactly one of text and messages, messages without a chat template, or a
    prompt with no
    tokens or more than `token_limit`.

    Args:
        body (AllRequest): The strongest features of several sources on one prompt.

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        AllResponse
    """

    return _result(
        client,
        await client.get_async_httpx_client().request(
            **_get_kwargs(
                body=body,
            )
        ),
    )
