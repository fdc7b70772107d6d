from http import HTTPStatus
from typing import Any, cast
from urllib.parse import quote

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.error_body import ErrorBody
from ...models.job import Job
from ...types import Response


def _get_kwargs(
    number: int,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api/admin/jobs/{number}/cancel".format(
            number=quote(str(number), safe=""),
        ),
    }

    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> ErrorBody | Job | None:
    if response.status_code == 200:
        response_200 = Job.from_dict(response.json())

        return response_200

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
    number: int,
    *,
    client: AuthenticatedClient | Client,
) -> Response[ErrorBody | Job]:
    """Cancel a job

     End a job that is queued or runs. What an import has stored is deleted, and pages do not change.
    Sources
    that a deletion has hidden by then stay hidden. A job `cancel-batches` is added where a batch of a
    language model is
    open, also of a job that has failed.

    Args:
        number (int): number of the job

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | Job]
    """

    kwargs = _get_kwargs(
        number=number,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


async def asyncio_detailed(
    number: int,
    *,
    client: AuthenticatedClient | Client,
) -> Response[ErrorBody | Job]:
    """Cancel a job

     End a job that is queued or runs. What an import has stored is deleted, and pages do not change.
    Sources
    that a deletion has hidden by then stay hidden. A job `cancel-batches` is added where a batch of a
    language model is
    open, also of a job that has failed.

    Args:
        number (int): number of the job

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | Job]
    """

    kwargs = _get_kwargs(
        number=number,
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
    number: int,
    *,
    client: AuthenticatedClient | Client,
) -> Job:
    """Cancel a job

     End a job that is queued or runs. What an import has stored is deleted, and pages do not change.
    Sources
    that a deletion has hidden by then stay hidden. A job `cancel-batches` is added where a batch of a
    language model is
    open, also of a job that has failed.

    Args:
        number (int): number of the job

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
                number=number,
            )
        ),
    )


async def asyncio(
    number: int,
    *,
    client: AuthenticatedClient | Client,
) -> Job:
    """Cancel a job

     End a job that is queued or runs. What an import has stored is deleted, and pages do not change.
    Sources
    that a deletion has hidden by then stay hidden. A job `cancel-batches` is added where a batch of a
    language model is
    open, also of a job that has failed.

    Args:
        number (int): number of the job

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
                number=number,
            )
        ),
    )
