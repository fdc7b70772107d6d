"""Who may upload: scopes of keys, accounts, read-only servers."""

import pytest
from memicos_testing.servers import Start
from memicos_testing.webapp.database import fetch
from memicos_testing.webapp.imports.dataset_uploads import API, FILES, announced, new_key, put_with
from memicos_webapp.accounts.rows import Scope
from memicos_webapp.settings import Settings


@pytest.mark.parametrize(
    ("scopes", "status"),
    [
        (("read",), 403),
        (("write",), 403),
        (("read", "write"), 403),
        (("datasets:write",), 200),
        (("admin",), 200),
        ((), 403),
    ],
)
async def test_scopes(
    started: Start, fresh_url: str, settings: Settings, scopes: tuple[Scope, ...], status: int
) -> None:
    headers = {"X-Api-Key": await new_key(settings, *scopes)}
    async with started(fresh_url, host="0.0.0.0", data=settings.data, upload_free_bytes=0) as client:
        response = await client.post(f"{API}/new", json=announced(FILES), headers=headers)
        assert response.status_code == status
        if status == 403:
            assert "--scope datasets:write" in response.json()["error"]
            response = await put_with(client, "0" * 32, headers)
            assert response.status_code == 403
            for route in ("get", "complete", "delete"):
                assert (
                    await client.post(f"{API}/{route}", json={"uploadId": "0" * 32}, headers=headers)
                ).status_code == 403


async def test_a_wrong_and_an_expired_key(started: Start, fresh_url: str, settings: Settings) -> None:
    expired = await new_key(settings, "datasets:write", days=1)
    await fetch(fresh_url, "UPDATE api_key SET expires_at = now() - interval '1 second'")
    async with started(fresh_url, host="0.0.0.0", data=settings.data) as client:
        for key in (expired, "memicos_unknown", "sk-of-another-system"):
            response = await client.post(f"{API}/new", json=announced(FILES), headers={"X-Api-Key": key})
            assert response.status_code == 401 and "memicos key new" in response.json()["error"]
        assert (await client.post(f"{API}/new", json=announced(FILES))).status_code == 403


async def test_only_the_account_that_sends_an_upload_sees_it(
    started: Start, fresh_url: str, settings: Settings
) -> None:
    await fetch(fresh_url, "INSERT INTO account (name) VALUES ('second')")
    mine = {"X-Api-Key": await new_key(settings, "datasets:write")}
    others = {"X-Api-Key": await new_key(settings, "datasets:write", account=2)}
    async with started(fresh_url, host="0.0.0.0", data=settings.data, upload_free_bytes=0) as client:
        upload_id = (await client.post(f"{API}/new", json=announced(FILES), headers=mine)).json()["uploadId"]
        for route in ("get", "complete", "delete"):
            response = await client.post(f"{API}/{route}", json={"uploadId": upload_id}, headers=others)
            assert response.status_code == 404
        assert (await put_with(client, upload_id, others)).status_code == 404
        # the same files are an upload of their own
        assert (await client.post(f"{API}/new", json=announced(FILES), headers=others)).json()["uploadId"] != upload_id
        assert (await put_with(client, upload_id, mine)).status_code == 200


async def test_a_read_only_server_takes_no_upload(started: Start, fresh_url: str, settings: Settings) -> None:
    headers = {"X-Api-Key": await new_key(settings, "datasets:write")}
    for host in ("127.0.0.1", "0.0.0.0"):
        async with started(fresh_url, read_only=True, host=host, data=settings.data) as client:
            response = await client.post(f"{API}/new", json=announced(FILES), headers=headers)
            assert response.status_code == 403 and "MEMICOS_READ_ONLY" in response.json()["error"]
            assert (await put_with(client, "0" * 32, headers)).status_code == 403
    assert not settings.uploads.exists()
