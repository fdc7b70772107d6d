from http import HTTPStatus
from typing import Any, cast

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.error_body import ErrorBody
from ...models.score_output_request import ScoreOutputRequest
from ...models.score_output_response import ScoreOutputResponse
from ...types import Response


def _get_kwargs(
    *,
    body: ScoreOutputRequest,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/score/output",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorBody | ScoreOutputResponse | None:
    if response.status_code == 200:
        response_200 = ScoreOutputResponse.from_dict(response.json())

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
) -> Response[ErrorBody | ScoreOutputResponse]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: ScoreOutputRequest,
) -> Response[ErrorBody | ScoreOutputResponse]:
    """Score an explanation by what the feature does to the output

     Compare the embedding of the explanation with those of what steering raises, and of what it does not
    raise.

    The score is the area under the ROC curve of the cosine similarities. The embedder is that of
    `/v1/score/embedding`;
    no language model judges, and no key is needed. Fewer than 5 texts of either list are status 400.

    Args:
        body (ScoreOutputRequest):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | ScoreOutputResponse]
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
    body: ScoreOutputRequest,
) -> Response[ErrorBody | ScoreOutputResponse]:
    """Score an explanation by what the feature does to the output

     Compare the embedding of the explanation with those of what steering raises, and of what it does not
    raise.

    The score is the area under the ROC curve of the cosine similarities. The embedder is that of
    `/v1/score/embedding`;
    no language model judges, and no key is needed. Fewer than 5 texts of either list are status 400.

    Args:
        body (ScoreOutputRequest):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | ScoreOutputResponse]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


def _result(client: AuthenticatedClient | Client, response: httpx.Response) -> ScoreOutputResponse:
    errors.raise_for_error(response)
    parsed = _parse_response(client=client, response=response)
    if parsed is None:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    return cast(ScoreOutputResponse, parsed)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: ScoreOutputRequest,
) -> ScoreOutputResponse:
    """Score an explanation by what the feature does to the output

     Compare the embedding of the explanation with those of what steering raises, and of what it does not
    raise.

    The score is the area under the ROC curve of the cosine similarities. The embedder is that of
    `/v1/score/embedding`;
    no language model judges, and no key is needed. Fewer than 5 texts of either list are status 400.

    Args:
        body (ScoreOutputRequest):

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ScoreOutputResponse
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
    body: ScoreOutputRequest,
) -> ScoreOutputResponse:
    """Score an explanation by what the feature does to the output

     Compare the embedding of the explanation with those of what steering raises, and of what it does not
    raise.

    The score is the area under the ROC curve of the cosine similarities. The embedder is that of
    `/v1/score/embedding`;
    no language model judges, and no key is needed. Fewer than 5 texts of either list are status 400.

    Args:
        body (ScoreOutputRequest):

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ScoreOutputResponse
    """

    return _result(
        client,
        await client.get_async_httpx_client().request(
            **_get_kwargs(
                body=body,
            )
        ),
    )
