from http import HTTPStatus
from typing import Any, cast
from urllib.parse import quote

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.error_body import ErrorBody
from ...models.received_part import ReceivedPart
from ...types import File, Response


def _get_kwargs(
    upload_id: str,
    file: int,
    part: int,
    *,
    body: File,
    x_part_sha256: str,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    headers["X-Part-SHA256"] = x_part_sha256

    _kwargs: dict[str, Any] = {
        "method": "put",
        "url": "/api/dataset-upload/part/{upload_id}/{file}/{part}".format(
            upload_id=quote(str(upload_id), safe=""),
            file=quote(str(file), safe=""),
            part=quote(str(part), safe=""),
        ),
    }

    _kwargs["content"] = body.payload
    headers["Content-Type"] = "application/octet-stream"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorBody | ReceivedPart | None:
    if response.status_code == 200:
        response_200 = ReceivedPart.from_dict(response.json())

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

    if response.status_code == 503:
        response_503 = ErrorBody.from_dict(response.json())

        return response_503

    if response.status_code == 507:
        response_507 = ErrorBody.from_dict(response.json())

        return response_507

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorBody | ReceivedPart]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    upload_id: str,
    file: int,
    part: int,
    *,
    client: AuthenticatedClient | Client,
    body: File,
    x_part_sha256: str,
) -> Response[ErrorBody | ReceivedPart]:
    """Send a part

     Send `partBytes` of a file, or of its last part what is left. Parts may be sent in any order and
    side by side.

    Args:
        upload_id (str): id of the upload
        file (int): place of the file in the upload's list, from 0
        part (int): number of the part, from 0
        x_part_sha256 (str): SHA-256 of the part, in hexadecimal digits
        body (File):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | ReceivedPart]
    """

    kwargs = _get_kwargs(
        upload_id=upload_id,
        file=file,
        part=part,
        body=body,
        x_part_sha256=x_part_sha256,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


async def asyncio_detailed(
    upload_id: str,
    file: int,
    part: int,
    *,
    client: AuthenticatedClient | Client,
    body: File,
    x_part_sha256: str,
) -> Response[ErrorBody | ReceivedPart]:
    """Send a part

     Send `partBytes` of a file, or of its last part what is left. Parts may be sent in any order and
    side by side.

    Args:
        upload_id (str): id of the upload
        file (int): place of the file in the upload's list, from 0
        part (int): number of the part, from 0
        x_part_sha256 (str): SHA-256 of the part, in hexadecimal digits
        body (File):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | ReceivedPart]
    """

    kwargs = _get_kwargs(
        upload_id=upload_id,
        file=file,
        part=part,
        body=body,
        x_part_sha256=x_part_sha256,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


def _result(client: AuthenticatedClient | Client, response: httpx.Response) -> ReceivedPart:
    errors.raise_for_error(response)
    parsed = _parse_response(client=client, response=response)
    if parsed is None:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    return cast(ReceivedPart, parsed)


def sync(
    upload_id: str,
    file: int,
    part: int,
    *,
    client: AuthenticatedClient | Client,
    body: File,
    x_part_sha256: str,
) -> ReceivedPart:
    """Send a part

     Send `partBytes` of a file, or of its last part what is left. Parts may be sent in any order and
    side by side.

    Args:
        upload_id (str): id of the upload
        file (int): place of the file in the upload's list, from 0
        part (int): number of the part, from 0
        x_part_sha256 (str): SHA-256 of the part, in hexadecimal digits
        body (File):

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ReceivedPart
    """

    return _result(
        client,
        client.get_httpx_client().request(
            **_get_kwargs(
                upload_id=upload_id,
                file=file,
                part=part,
                body=body,
                x_part_sha256=x_part_sha256,
            )
        ),
    )


async def asyncio(
    upload_id: str,
    file: int,
    part: int,
    *,
    client: AuthenticatedClient | Client,
    body: File,
    x_part_sha256: str,
) -> ReceivedPart:
    """Send a part

     Send `partBytes` of a file, or of its last part what is left. Parts may be sent in any order and
    side by side.

    Args:
        upload_id (str): id of the upload
        file (int): place of the file in the upload's list, from 0
        part (int): number of the part, from 0
        x_part_sha256 (str): SHA-256 of the part, in hexadecimal digits
        body (File):

    Raises:
        errors.ApiError: For an error response; the subclass tells the status, such as errors.NotFound.
        errors.UnexpectedStatus: For a success that the API does not document.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ReceivedPart
    """

    return _result(
        client,
        await client.get_async_httpx_client().request(
            **_get_kwargs(
                upload_id=upload_id,
                file=file,
                part=part,
                body=body,
                x_part_sha256=x_part_sha256,
            )
        ),
    )
