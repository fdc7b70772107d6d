from http import HTTPStatus
from typing import Any, cast
from urllib.parse import quote

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.error_body import ErrorBody
from ...models.score_deleted import ScoreDeleted
from ...types import Response


def _get_kwargs(
    score_id: int,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api/explanation/score/{score_id}/delete".format(
            score_id=quote(str(score_id), safe=""),
        ),
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorBody | ScoreDeleted | None:
    if response.status_code == 200:
        response_200 = ScoreDeleted.from_dict(response.json())

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
) -> Response[ErrorBody | ScoreDeleted]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    score_id: int,
    *,
    client: AuthenticatedClient | Client,
) -> Response[ErrorBody | ScoreDeleted]:
    """Delete a score

     Delete a score of your own. Scores of datasets, or by another account, cannot be deleted (403).

    Beyond loopback it takes the owner's session or an API key with the scope `write` in `X-Api-Key`
    (403 otherwise).

    Args:
        score_id (int): id of the score

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | ScoreDeleted]
    """

    kwargs = _get_kwargs(
        score_id=score_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


async def asyncio_detailed(
    score_id: int,
    *,
    client: AuthenticatedClient | Client,
) -> Response[ErrorBody | ScoreDeleted]:
    """Delete a score

     Delete a score of your own. Scores of datasets, or by another account, cannot be deleted (403).

    Beyond loopback it takes the owner's session or an API key with the scope `write` in `X-Api-Key`
    (403 otherwise).

    Args:
        score_id (int): id of the score

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | ScoreDeleted]
    """

    kwargs = _get_kwargs(
        score_id=score_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


def _result(client: AuthenticatedClient | Client, response: httpx.Response) -> ScoreDeleted:
    errors.raise_for_error(response)
    parsed = _parse_response(client=client, response=response)
    if parsed is None:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    return cast(ScoreDeleted, parsed)


def sync(
    score_id: int,
    *,
    client: AuthenticatedClient | Client,
) -> ScoreDeleted:
    """Delete a score

     Delete a score of your own. Scores of datasets, or by another account, cannot be deleted (403).

    Beyond loopback it takes the owner's session or an API key with the scope `write` in `X-Api-Key`
    (403 otherwise).

    Args:
        score_id (int): id of the score

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ScoreDeleted
    """

    return _result(
        client,
        client.get_httpx_client().request(
            **_get_kwargs(
                score_id=score_id,
            )
        ),
    )


async def asyncio(
    score_id: int,
    *,
    client: AuthenticatedClient | Client,
) -> ScoreDeleted:
    """Delete a score

     Delete a score of your own. Scores of datasets, or by another account, cannot be deleted (403).

    Beyond loopback it takes the owner's session or an API key with the scope `write` in `X-Api-Key`
    (403 otherwise).

    Args:
        score_id (int): id of the score

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ScoreDeleted
    """

    return _result(
        client,
        await client.get_async_httpx_client().request(
            **_get_kwargs(
                score_id=score_id,
            )
        ),
    )
