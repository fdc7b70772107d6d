from http import HTTPStatus
from typing import Any, cast

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.activation import Activation
from ...models.error_body import ErrorBody
from ...models.new_activation import NewActivation
from ...types import Response


def _get_kwargs(
    *,
    body: NewActivation,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api/activation/new",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Activation | list[Activation] | ErrorBody | None:
    if response.status_code == 200:

        def _parse_response_200(data: object) -> Activation | list[Activation]:
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                response_200_type_0 = Activation.from_dict(data)

                return response_200_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            if not isinstance(data, list):
                raise TypeError()
            response_200_type_1 = []
            _response_200_type_1 = data
            for response_200_type_1_item_data in _response_200_type_1:
                response_200_type_1_item = Activation.from_dict(response_200_type_1_item_data)

                response_200_type_1.append(response_200_type_1_item)

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
) -> Response[Activation | list[Activation] | ErrorBody]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: NewActivation,
) -> Response[Activation | list[Activation] | ErrorBody]:
    """Activations of a feature on a text

     Run a text, or a conversation, through the model; the response has a feature's activation at each
    token.

    The feature may be a vector that was uploaded: its values are dot products with the activation at
    its hook point.

    A list of texts is answered with a list, in the same order. The number of texts has a limit
    (MEMICOS_TEXTS_AT_ONCE), and so has the length of a text in tokens (TOKEN_LIMIT of the inference
    server); beyond
    them the response is 400.

    Args:
        body (NewActivation):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Activation | list[Activation] | ErrorBody]
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
    body: NewActivation,
) -> Response[Activation | list[Activation] | ErrorBody]:
    """Activations of a feature on a text

     Run a text, or a conversation, through the model; the response has a feature's activation at each
    token.

    The feature may be a vector that was uploaded: its values are dot products with the activation at
    its hook point.

    A list of texts is answered with a list, in the same order. The number of texts has a limit
    (MEMICOS_TEXTS_AT_ONCE), and so has the length of a text in tokens (TOKEN_LIMIT of the inference
    server); beyond
    them the response is 400.

    Args:
        body (NewActivation):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Activation | list[Activation] | ErrorBody]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


def _result(client: AuthenticatedClient | Client, response: httpx.Response) -> Activation | list[Activation]:
    errors.raise_for_error(response)
    parsed = _parse_response(client=client, response=response)
    if parsed is None:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    return cast(Activation | list[Activation], parsed)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: NewActivation,
) -> Activation | list[Activation]:
    """Activations of a feature on a text

     Run a text, or a conversation, through the model; the response has a feature's activation at each
    token.

    The feature may be a vector that was uploaded: its values are dot products with the activation at
    its hook point.

    A list of texts is answered with a list, in the same order. The number of texts has a limit
    (MEMICOS_TEXTS_AT_ONCE), and so has the length of a text in tokens (TOKEN_LIMIT of the inference
    server); beyond
    them the response is 400.

    Args:
        body (NewActivation):

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Activation | list[Activation]
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
    body: NewActivation,
) -> Activation | list[Activation]:
    """Activations of a feature on a text

     Run a text, or a conversation, through the model; the response has a feature's activation at each
    token.

    The feature may be a vector that was uploaded: its values are dot products with the activation at
    its hook point.

    A list of texts is answered with a list, in the same order. The number of texts has a limit
    (MEMICOS_TEXTS_AT_ONCE), and so has the length of a text in tokens (TOKEN_LIMIT of the inference
    server); beyond
    them the response is 400.

    Args:
        body (NewActivation):

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Activation | list[Activation]
    """

    return _result(
        client,
        await client.get_async_httpx_client().request(
            **_get_kwargs(
                body=body,
            )
        ),
    )
