from http import HTTPStatus
from typing import Any, cast

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.error_body import ErrorBody
from ...models.score_embedding_request import ScoreEmbeddingRequest
from ...models.score_embedding_response import ScoreEmbeddingResponse
from ...types import Response


def _get_kwargs(
    *,
    body: ScoreEmbeddingRequest,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/score/embedding",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorBody | ScoreEmbeddingResponse | None:
    if response.status_code == 200:
        response_200 = ScoreEmbeddingResponse.from_dict(response.json())

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
) -> Response[ErrorBody | ScoreEmbeddingResponse]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: ScoreEmbeddingRequest,
) -> Response[ErrorBody | ScoreEmbeddingResponse]:
    """Score an explanation by embeddings

     Compare the embedding of the explanation with those of texts with and without the feature.

    The score is the area under the ROC curve of the cosine similarities. The embedder is all-
    MiniLM-L6-v2 on this
    server, or OpenAI's where AUTOINTERP_EMBEDDER is openai. Fewer than 5 texts of a class are status
    400.

    Args:
        body (ScoreEmbeddingRequest):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | ScoreEmbeddingResponse]
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
    body: ScoreEmbeddingRequest,
) -> Response[ErrorBody | ScoreEmbeddingResponse]:
    """Score an explanation by embeddings

     Compare the embedding of the explanation with those of texts with and without the feature.

    The score is the area under the ROC curve of the cosine similarities. The embedder is all-
    MiniLM-L6-v2 on this
    server, or OpenAI's where AUTOINTERP_EMBEDDER is openai. Fewer than 5 texts of a class are status
    400.

    Args:
        body (ScoreEmbeddingRequest):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | ScoreEmbeddingResponse]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


def _result(client: AuthenticatedClient | Client, response: httpx.Response) -> ScoreEmbeddingResponse:
    errors.raise_for_error(response)
    parsed = _parse_response(client=client, response=response)
    if parsed is None:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    return cast(ScoreEmbeddingResponse, parsed)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: ScoreEmbeddingRequest,
) -> ScoreEmbeddingResponse:
    """Score an explanation by embeddings

     Compare the embedding of the explanation with those of texts with and without the feature.

    The score is the area under the ROC curve of the cosine similarities. The embedder is all-
    MiniLM-L6-v2 on this
    server, or OpenAI's where AUTOINTERP_EMBEDDER is openai. Fewer than 5 texts of a class are status
    400.

    Args:
        body (ScoreEmbeddingRequest):

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ScoreEmbeddingResponse
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
    body: ScoreEmbeddingRequest,
) -> ScoreEmbeddingResponse:
    """Score an explanation by embeddings

     Compare the embedding of the explanation with those of texts with and without the feature.

    The score is the area under the ROC curve of the cosine similarities. The embedder is all-
    MiniLM-L6-v2 on this
    server, or OpenAI's where AUTOINTERP_EMBEDDER is openai. Fewer than 5 texts of a class are status
    400.

    Args:
        body (ScoreEmbeddingRequest):

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ScoreEmbeddingResponse
    """

    return _result(
        client,
        await client.get_async_httpx_client().request(
            **_get_kwargs(
                body=body,
            )
        ),
    )
