from http import HTTPStatus
from typing import Any, cast

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.error_body import ErrorBody
from ...models.explain_request import ExplainRequest
from ...models.explain_response import ExplainResponse
from ...types import Response


def _get_kwargs(
    *,
    body: ExplainRequest,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/explain/default",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorBody | ExplainResponse | None:
    if response.status_code == 200:
        response_200 = ExplainResponse.from_dict(response.json())

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
) -> Response[ErrorBody | ExplainResponse]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: ExplainRequest,
) -> Response[ErrorBody | ExplainResponse]:
    """Explain a feature from its top-activating texts

     Ask a language model what the strongly activating tokens of these texts have in common.

    Texts are taken in the order given, strongest first. The request is limited to
    AUTOINTERP_MAX_ACTIVATIONS texts
    (64 by default) and AUTOINTERP_MAX_CHARACTERS characters in all (200,000 by default); more is status
    400. Without
    a key of its own or of the server the status is 503. 502 means that the language model's provider
    failed or gave
    no usable explanation, and `cause` has the kind of failure; nothing is stored, so the request can be
    repeated. One
    request takes AUTOINTERP_DEADLINE_SECONDS (150 by default) at most.

    Args:
        body (ExplainRequest): Top-activating texts of a feature, strongest first. At least one
            value is above 0.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | ExplainResponse]
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
    body: ExplainRequest,
) -> Response[ErrorBody | ExplainResponse]:
    """Explain a feature from its top-activating texts

     Ask a language model what the strongly activating tokens of these texts have in common.

    Texts are taken in the order given, strongest first. The request is limited to
    AUTOINTERP_MAX_ACTIVATIONS texts
    (64 by default) and AUTOINTERP_MAX_CHARACTERS characters in all (200,000 by default); more is status
    400. Without
    a key of its own or of the server the status is 503. 502 means that the language model's provider
    failed or gave
    no usable explanation, and `cause` has the kind of failure; nothing is stored, so the request can be
    repeated. One
    request takes AUTOINTERP_DEADLINE_SECONDS (150 by default) at most.

    Args:
        body (ExplainRequest): Top-activating texts of a feature, strongest first. At least one
            value is above 0.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | ExplainResponse]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


def _result(client: AuthenticatedClient | Client, response: httpx.Response) -> ExplainResponse:
    errors.raise_for_error(response)
    parsed = _parse_response(client=client, response=response)
    if parsed is None:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    return cast(ExplainResponse, parsed)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: ExplainRequest,
) -> ExplainResponse:
    """Explain a feature from its top-activating texts

     Ask a language model what the strongly activating tokens of these texts have in common.

    Texts are taken in the order given, strongest first. The request is limited to
    AUTOINTERP_MAX_ACTIVATIONS texts
    (64 by default) and AUTOINTERP_MAX_CHARACTERS characters in all (200,000 by default); more is status
    400. Without
    a key of its own or of the server the status is 503. 502 means that the language model's provider
    failed or gave
    no usable explanation, and `cause` has the kind of failure; nothing is stored, so the request can be
    repeated. One
    request takes AUTOINTERP_DEADLINE_SECONDS (150 by default) at most.

    Args:
        body (ExplainRequest): Top-activating texts of a feature, strongest first. At least one
            value is above 0.

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ExplainResponse
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
    body: ExplainRequest,
) -> ExplainResponse:
    """Explain a feature from its top-activating texts

     Ask a language model what the strongly activating tokens of these texts have in common.

    Texts are taken in the order given, strongest first. The request is limited to
    AUTOINTERP_MAX_ACTIVATIONS texts
    (64 by default) and AUTOINTERP_MAX_CHARACTERS characters in all (200,000 by default); more is status
    400. Without
    a key of its own or of the server the status is 503. 502 means that the language model's provider
    failed or gave
    no usable explanation, and `cause` has the kind of failure; nothing is stored, so the request can be
    repeated. One
    request takes AUTOINTERP_DEADLINE_SECONDS (150 by default) at most.

    Args:
        body (ExplainRequest): Top-activating texts of a feature, strongest first. At least one
            value is above 0.

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ExplainResponse
    """

    return _result(
        client,
        await client.get_async_httpx_client().request(
            **_get_kwargs(
                body=body,
            )
        ),
    )
