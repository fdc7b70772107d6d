"""API keys and their scopes; how they are stored, and the server's secret."""

import hashlib
import hmac
import re
import stat
from pathlib import Path

import httpx
import pytest
from memicos_client import ChooseLabelRequest, Client, Unauthorized, choose_explanation_as_label
from memicos_testing.servers import Start
from memicos_testing.webapp.accounts import ORIGIN, memicos, new_key, sign_in
from memicos_testing.webapp.app_settings import SECRET_KEY, make_settings
from memicos_testing.webapp.database import connected
from memicos_webapp.accounts.rows import Scope
from memicos_webapp.accounts.server_secret import server_secret
from memicos_webapp.errors import NotConfigured

LABEL = "/api/explanation/1/label"


CHOICE = {"chosen": False}


@pytest.mark.parametrize(
    ("scopes", "status"),
    [
        ((), 403),
        (("read",), 403),
        (("datasets:write",), 403),
        (("write",), 200),
        (("read", "write"), 200),
        (("admin",), 200),
    ],
)
async def test_scopes_of_keys(beyond: httpx.AsyncClient, own_url: str, scopes: tuple[Scope, ...], status: int) -> None:
    key = await new_key(own_url, *scopes)
    response = await beyond.post(LABEL, json=CHOICE, headers={"X-Api-Key": key})
    assert response.status_code == status
    if status == 403:
        assert "--scope write" in response.json()["error"]
    assert (await beyond.get("/api/feature/small/1-res/5", headers={"X-Api-Key": key})).status_code == 200


@pytest.mark.parametrize(("scopes", "status"), [((), 403), (("read", "write"), 403), (("admin",), 200)])
async def test_only_the_owner_changes_settings_of_the_server(
    beyond: httpx.AsyncClient, own_url: str, scopes: tuple[Scope, ...], status: int
) -> None:
    path, body = "/api/admin/inference-hosts", {"name": "second", "url": "http://127.0.0.1:9"}
    key = {"X-Api-Key": await new_key(own_url, *scopes)}
    assert (await beyond.get(path)).status_code == 403
    assert (await beyond.get(path, headers=key)).status_code == status
    assert (await beyond.post(path, json=body, headers=key)).status_code == status
    await sign_in(beyond, own_url)
    assert (await beyond.get(path)).status_code == 200
    assert (await beyond.delete(f"{path}/second")).status_code == 403
    assert (await beyond.delete(f"{path}/second", headers=ORIGIN)).status_code == (200 if status == 200 else 404)


async def test_keys_expire_and_note_their_use(beyond: httpx.AsyncClient, own_url: str) -> None:
    key = {"X-Api-Key": await new_key(own_url, "write", days=0.5)}
    assert (await beyond.post(LABEL, json=CHOICE, headers=key)).status_code == 200
    async with connected(own_url) as connection:
        row = await connection.fetchrow(
            "SELECT last_used_at > now() - interval '1 minute', expires_at - created_at = interval '12 hours' "
            "FROM api_key"
        )
        assert row and tuple(row) == (True, True)
        await connection.execute("UPDATE api_key SET expires_at = now() - interval '1 second'")
    for response in (
        await beyond.post(LABEL, json=CHOICE, headers=key),
        await beyond.get("/api/feature/small/1-res/5", headers=key),
    ):
        assert response.status_code == 401 and "unknown, expired or revoked" in response.json()["error"]


async def test_keys_of_other_systems_only_read(beyond: httpx.AsyncClient, client: httpx.AsyncClient) -> None:
    key = {"X-Api-Key": "sk-of-another-system"}
    assert (await beyond.get("/api/feature/small/1-res/5", headers=key)).status_code == 200
    response = await beyond.post(LABEL, json=CHOICE, headers=key)
    assert response.status_code == 401 and "memicos key new" in response.json()["error"]
    # on loopback keys are ignored, even those with our prefix
    for name in ("sk-of-another-system", "memicos_unknown"):
        assert (await client.get("/api/feature/small/1-res/5", headers={"X-Api-Key": name})).status_code == 200


async def test_an_explanation_by_a_key_belongs_to_the_owner(beyond: httpx.AsyncClient, own_url: str) -> None:
    async with connected(own_url) as connection:
        await connection.execute(
            "INSERT INTO explanation (source_id, index, description, method, author_id) VALUES (1, 5, 'x', 'human', 1)"
        )
        number = await connection.fetchval("SELECT max(id) FROM explanation")
    key = {"X-Api-Key": await new_key(own_url, "write")}
    assert (await beyond.post(f"/api/explanation/{number}/delete", headers=key)).status_code == 200


async def test_the_python_client_writes_with_a_key(beyond: httpx.AsyncClient, own_url: str) -> None:
    args = {"transport": beyond._transport}
    headers = {"X-Api-Key": await new_key(own_url, "write")}
    async with Client("http://localhost", headers=headers, httpx_args=args) as client:
        chosen = await choose_explanation_as_label.asyncio(1, client=client, body=ChooseLabelRequest(chosen=True))
        assert chosen.explanations
    async with Client("http://localhost", headers={"X-Api-Key": "memicos_x"}, httpx_args=args) as client:
        with pytest.raises(Unauthorized, match="unknown, expired or revoked"):
            await choose_explanation_as_label.asyncio(1, client=client, body=ChooseLabelRequest(chosen=True))


async def test_hashes_of_keys_are_keyed_and_plain_ones_are_converted(started: Start, own_url: str) -> None:
    key = await new_key(own_url, "write")
    plain = hashlib.sha256(key.encode()).digest()
    keyed = hmac.new(SECRET_KEY.encode(), plain, "sha256").digest()
    async with connected(own_url) as connection:
        assert await connection.fetchval("SELECT token_hash FROM api_key") == keyed
        # as an earlier version stored it
        await connection.execute("UPDATE api_key SET token_hash = $1, keyed = false", plain)
        async with started(own_url, host="0.0.0.0") as client:
            assert (await client.post(LABEL, json=CHOICE, headers={"X-Api-Key": key})).status_code == 200
        row = await connection.fetchrow("SELECT token_hash, keyed FROM api_key")
        assert row and tuple(row) == (keyed, True)
    async with started(own_url, host="0.0.0.0", secret_key="of another server, so long") as client:
        assert (await client.post(LABEL, json=CHOICE, headers={"X-Api-Key": key})).status_code == 401


async def test_without_a_secret_the_server_runs_and_says_why_it_takes_no_key(
    started: Start, own_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A database of an earlier version, and a data folder that cannot be written: the start failed."""
    key = await new_key(own_url, "write")
    async with connected(own_url) as connection:
        plain = hashlib.sha256(key.encode()).digest()
        await connection.execute("UPDATE api_key SET token_hash = $1, keyed = false", plain)
        (tmp_path / "file").touch()
        unusable = {"secret_key": None, "data": tmp_path / "file" / "data"}
        async with started(own_url, host="0.0.0.0", **unusable) as client:
            response = await client.post(LABEL, json=CHOICE, headers={"X-Api-Key": key})
        assert response.status_code == 503 and "MEMICOS_SECRET_KEY" in response.json()["error"]
        assert "API keys of an earlier version cannot be used" in caplog.text
        async with started(own_url, host="0.0.0.0") as client:
            assert (await client.post(LABEL, json=CHOICE, headers={"X-Api-Key": key})).status_code == 200


def test_a_file_that_is_too_short_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "secret-key").touch()
    with pytest.raises(NotConfigured, match="fewer than 16 characters"):
        server_secret(make_settings("postgresql://unused", secret_key=None, data=tmp_path))


def test_the_secret_is_made_once_and_is_the_owners(tmp_path: Path) -> None:
    settings = make_settings("postgresql://unused", secret_key=None, data=tmp_path / "data")
    secret = server_secret(settings)
    file = tmp_path / "data" / "secret-key"
    assert len(secret) >= 43 and file.read_bytes() == secret and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert server_secret(settings) == secret and [path.name for path in file.parent.iterdir()] == ["secret-key"]
    (tmp_path / "file").touch()
    with pytest.raises(NotConfigured, match="MEMICOS_SECRET_KEY"):
        server_secret(make_settings("postgresql://unused", secret_key=None, data=tmp_path / "file" / "data"))


@pytest.mark.slow
async def test_commands_list_and_revoke_keys(own_url: str) -> None:
    status, key, errors = await memicos(own_url, "key", "new", "a script", "--scope", "write")
    assert status == 0 and re.fullmatch(r"memicos_\S{43}\n", key) and "cannot be shown again" in errors
    status, listed, _ = await memicos(own_url, "key", "list")
    assert status == 0 and re.search(r"^1 +a script +write +valid +\d{4}-\d\d-\d\d +- +-$", listed, re.M)
    assert (await memicos(own_url, "key", "revoke", "1"))[:2] == (0, "API key 1 is revoked\n")
    assert "revoked" in (await memicos(own_url, "key", "list"))[1]
    status, _, errors = await memicos(own_url, "key", "revoke", "1")
    assert status == 1 and errors == "key revoke: The API key 1 does not exist or is already revoked.\n"
    status, _, errors = await memicos(own_url, "key", "new", " ")
    assert status == 1 and errors.count("\n") == 1 and "printable" in errors
    assert (await memicos(own_url, "key", "new", "x", "--scope", "root"))[0] == 2
    status, _, errors = await memicos(own_url, "owner-link", MEMICOS_READ_ONLY="1")
    assert status == 1 and "MEMICOS_READ_ONLY" in errors
    output = (await memicos(own_url, "owner-link", MEMICOS_PUBLIC_URL="https://sae.example/memicos/"))[1]
    assert output.startswith("https://sae.example/memicos/account/sign-in#")
