from http import HTTPStatus
from typing import Any, cast

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.error_body import ErrorBody
from ...models.generate_request import GenerateRequest
from ...models.generate_response import GenerateResponse
from ...types import Response


def _get_kwargs(
    *,
    body: GenerateRequest,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api/explanation/generate",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorBody | GenerateResponse | None:
    if response.status_code == 200:
        response_200 = GenerateResponse.from_dict(response.json())

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
) -> Response[ErrorBody | GenerateResponse]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: GenerateRequest,
) -> Response[ErrorBody | GenerateResponse]:
    """Generate an explanation

     Have a language model explain a feature by its top examples. The explanation is stored and can be
    searched.

    A feature has one explanation per type and language model. It becomes the feature's label only where
    there is no
    other explanation, or by choice. A feature that is never active has no examples to explain it by
    (400). Beyond
    loopback it takes the owner's session or an API key with the scope `write` in `X-Api-Key` (403
    otherwise). Closing
    the connection ends the request to the language model, and nothing is stored.

    Args:
        body (GenerateRequest):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | GenerateResponse]
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
    body: GenerateRequest,
) -> Response[ErrorBody | GenerateResponse]:
    """Generate an explanation

     Have a language model explain a feature by its top examples. The explanation is stored and can be
    searched.

    A feature has one explanation per type and language model. It becomes the feature's label only where
    there is no
    other explanation, or by choice. A feature that is never active has no examples to explain it by
    (400). Beyond
    loopback it takes the owner's session or an API key with the scope `write` in `X-Api-Key` (403
    otherwise). Closing
    the connection ends the request to the language model, and nothing is stored.

    Args:
        body (GenerateRequest):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | GenerateResponse]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


def _result(client: AuthenticatedClient | Client, response: httpx.Response) -> GenerateResponse:
    errors.raise_for_error(response)
    parsed = _parse_response(client=client, response=response)
    if parsed is None:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    return cast(GenerateResponse, parsed)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: GenerateRequest,
) -> GenerateResponse:
    """Generate an explanation

     Have a language model explain a feature by its top examples. The explanation is stored and can be
    searched.

    A feature has one explanation per type and language model. It becomes the feature's label only where
    there is no
    other explanation, or by choice. A feature that is never active has no examples to explain it by
    (400). Beyond
    loopback it takes the owner's session or an API key with the scope `write` in `X-Api-Key` (403
    otherwise). Closing
    the connection ends the request to the language model, and nothing is stored.

    Args:
        body (GenerateRequest):

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        GenerateResponse
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
    body: GenerateRequest,
) -> GenerateResponse:
    """Generate an explanation

     Have a language model explain a feature by its top examples. The explanation is stored and can be
    searched.

    A feature has one explanation per type and language model. It becomes the feature's label only where
    there is no
    other explanation, or by choice. A feature that is never active has no examples to explain it by
    (400). Beyond
    loopback it takes the owner's session or an API key with the scope `write` in `X-Api-Key` (403
    otherwise). Closing
    the connection ends the request to the language model, and nothing is stored.

    Args:
        body (GenerateRequest):

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        GenerateResponse
    """

    return _result(
        client,
        await client.get_async_httpx_client().request(
            **_get_kwargs(
                body=body,
            )
        ),
    )
