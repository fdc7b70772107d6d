from http import HTTPStatus
from typing import Any, cast

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.error_body import ErrorBody
from ...models.job import Job
from ...models.score_features_request import ScoreFeaturesRequest
from ...types import Response


def _get_kwargs(
    *,
    body: ScoreFeaturesRequest,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api/admin/scores",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> ErrorBody | Job | None:
    if response.status_code == 202:
        response_202 = Job.from_dict(response.json())

        return response_202

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


def _build_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Response[ErrorBody | Job]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: ScoreFeaturesRequest,
) -> Response[ErrorBody | Job]:
    """Score many features

     Queue scores of the labels of features, where a language model judges with the key of the server.

    It needs an inference server with the sources. With a language model the log of the job states the
    cost, measured on
    20 labels, and the job ends where the budget is reached. Resume continues it, and pays for nothing
    again.

    Args:
        body (ScoreFeaturesRequest): Features of a source or a set whose labels are to be scored;
            those without a label are left out.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | Job]
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
    body: ScoreFeaturesRequest,
) -> Response[ErrorBody | Job]:
    """Score many features

     Queue scores of the labels of features, where a language model judges with the key of the server.

    It needs an inference server with the sources. With a language model the log of the job states the
    cost, measured on
    20 labels, and the job ends where the budget is reached. Resume continues it, and pays for nothing
    again.

    Args:
        body (ScoreFeaturesRequest): Features of a source or a set whose labels are to be scored;
            those without a label are left out.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | Job]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


def _result(client: AuthenticatedClient | Client, response: httpx.Response) -> Job:
    errors.raise_for_error(response)
    parsed = _parse_response(client=client, response=response)
    if parsed is None:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    return cast(Job, parsed)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: ScoreFeaturesRequest,
) -> Job:
    """Score many features

     Queue scores of the labels of features, where a language model judges with the key of the server.

    It needs an inference server with the sources. With a language model the log of the job states the
    cost, measured on
    20 labels, and the job ends where the budget is reached. Resume continues it, and pays for nothing
    again.

    Args:
        body (ScoreFeaturesRequest): Features of a source or a set whose labels are to be scored;
            those without a label are left out.

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Job
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
    body: ScoreFeaturesRequest,
) -> Job:
    """Score many features

     Queue scores of the labels of features, where a language model judges with the key of the server.

    It needs an inference server with the sources. With a language model the log of the job states the
    cost, measured on
    20 labels, and the job ends where the budget is reached. Resume continues it, and pays for nothing
    again.

    Args:
        body (ScoreFeaturesRequest): Features of a source or a set whose labels are to be scored;
            those without a label are left out.

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Job
    """

    return _result(
        client,
        await client.get_async_httpx_client().request(
            **_get_kwargs(
                body=body,
            )
        ),
    )
