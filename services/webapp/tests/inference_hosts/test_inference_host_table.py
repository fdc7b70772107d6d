"""The table of inference hosts: filled by settings, changed by the owner through the API and the command."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import asyncpg
import httpx
import pytest
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_testing.servers import Start, free_port, running

HOSTS = "/api/admin/inference-hosts"
OWN_TEXT = {"feature": {"modelId": "small", "layer": "1-res", "index": "5"}, "customText": "the whale rose"}


async def stored(url: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "SELECT name, url, secret_variable, enabled, configured FROM inference_host ORDER BY id"
        )
        return [tuple(row) for row in rows]
    finally:
        await connection.close()


async def names(client: httpx.AsyncClient) -> list[str]:
    return [host["name"] for host in (await client.get(HOSTS)).json()["hosts"]]


async def test_settings_fill_the_table(
    started: Start, own_url: str, monkeypatch: pytest.MonkeyPatch, inference: FakeInferenceServer
) -> None:
    monkeypatch.setenv("INFERENCE_SECRET_GPT2_SMALL", "theirs")
    async with started(
        own_url, inference_hosts="gpt2-small=http://one:1/, b=https://two/inference", inference_secret="ours"
    ):
        assert await stored(own_url) == [
            ("gpt2-small", "http://one:1", "INFERENCE_SECRET_GPT2_SMALL", True, True),
            ("b", "https://two/inference", "INFERENCE_SECRET", True, True),
        ]
    # the one-host form, and hosts that settings no longer name
    async with started(own_url) as client:
        (row,) = await stored(own_url)
        assert row[0] == "default" and row[2:] == (None, True, True)
        (host,) = (await client.get(HOSTS)).json()["hosts"]
        assert host["name"] == "default" and host["configured"] and host["enabled"]


async def test_each_host_gets_its_own_secret(started: Start, own_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = FakeInferenceServer(secret="secret of a", sources=("1-res",)), FakeInferenceServer(secret="common")
    monkeypatch.setenv("INFERENCE_SECRET_A", "secret of a")
    async with running(a.app()) as a_url, running(b.app()) as b_url:
        settings = {"inference_hosts": f"a={a_url},b={b_url}", "inference_secret": "common"}
        async with started(own_url, **settings) as client:
            for _ in range(2):
                assert (await client.post("/api/activation/new", json=OWN_TEXT)).status_code == 200
            assert len(a.seen) == len(b.seen) == 1
            page = (await client.get(HOSTS)).text
            assert "INFERENCE_SECRET_A" in page and "secret of a" not in page and "common" not in page


async def test_the_owner_adds_changes_and_removes_a_host(
    started: Start, own_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    double = FakeInferenceServer(secret="theirs")
    down = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("INFERENCE_SECRET_GPU", "theirs")
    async with running(double.app()) as url, started(own_url, inference_url=down) as client:
        assert (await client.post("/api/activation/new", json=OWN_TEXT)).status_code == 503
        added = await client.post(HOSTS, json={"name": "gpu", "url": f"{url}/"})
        assert added.status_code == 200 and added.json()["url"] == url and added.json()["state"] == "unknown"
        refused = await client.post("/api/activation/new", json=OWN_TEXT)
        assert "gpu: The inference server" in refused.json()["error"] and "refuses" in refused.json()["error"]
        changed = await client.patch(f"{HOSTS}/gpu", json={"secretVariable": "INFERENCE_SECRET_GPU"})
        assert changed.status_code == 200
        assert (await client.post("/api/activation/new", json=OWN_TEXT)).status_code == 200
        hosts = {host["name"]: host for host in (await client.get(HOSTS)).json()["hosts"]}
        assert hosts["gpu"]["state"] == "ready" and hosts["gpu"]["sources"] == ["1-res", "2-res", "3-res"]
        assert hosts["default"]["state"] == "down" and hosts["default"]["model"] is None
        # disabled: no request goes there
        assert (await client.patch(f"{HOSTS}/gpu", json={"enabled": False})).json()["state"] == "disabled"
        assert (await client.post("/api/activation/new", json=OWN_TEXT)).status_code == 503
        assert (await client.patch(f"{HOSTS}/gpu", json={"enabled": True})).status_code == 200
        assert (await client.post("/api/activation/new", json=OWN_TEXT)).status_code == 200
        removed = await client.delete(f"{HOSTS}/gpu")
        assert removed.json()["message"] == "The inference host gpu is removed."
        assert (await client.post("/api/activation/new", json=OWN_TEXT)).status_code == 503
        assert await names(client) == ["default"]


async def test_a_disabled_host_of_the_settings_stays_disabled(started: Start, own_url: str) -> None:
    async with started(own_url) as client:
        assert (await client.patch(f"{HOSTS}/default", json={"enabled": False})).status_code == 200
        response = await client.post("/api/activation/new", json=OWN_TEXT)
        assert response.status_code == 503 and response.json()["error"].startswith("No inference server is enabled")
        assert "no inference server is enabled" in (await client.get("/small/inference")).text
    async with started(own_url) as client:
        assert (await client.post("/api/activation/new", json=OWN_TEXT)).status_code == 503
        assert (await client.patch(f"{HOSTS}/default", json={"enabled": True})).status_code == 200
        assert (await client.post("/api/activation/new", json=OWN_TEXT)).status_code == 200


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "GPU"}, "lower-case letters"),
        ({"name": "-a"}, "lower-case letters"),
        ({"url": "127.0.0.1:5002"}, "must begin with http:// or https://"),
        ({"url": "file:///etc/passwd"}, "must begin with http:// or https://"),
        ({"url": "http://"}, "must begin with http:// or https://"),
        ({"url": "http://user:hidden@host"}, "may not hold a user or password"),
        ({"url": "http://host:99999"}, "a port or an address"),
        ({"url": "http://[::1"}, "a port or an address"),
        ({"url": "http://host?x=1"}, "query or fragment"),
        ({"url": "http://ho st"}, "a space"),
        ({"url": "http://host\r\nX: y"}, "a space"),
        ({"secretVariable": "OPENAI_API_KEY"}, "not the secret"),
        ({"secretVariable": "sk-hidden"}, "not the secret"),
        ({"secretVariable": "INFERENCE_SECRET_UNSET"}, "no variable INFERENCE_SECRET_UNSET"),
    ],
)
async def test_an_invalid_host_is_refused(started: Start, own_url: str, changes: dict[str, Any], message: str) -> None:
    async with started(own_url) as client:
        response = await client.post(HOSTS, json={"name": "gpu", "url": "http://host", **changes})
        assert response.status_code == 400 and message in response.json()["error"], response.text
        assert "hidden" not in response.text
        assert await names(client) == ["default"]


async def test_hosts_of_the_settings_are_not_changed_and_unknown_hosts_are_refused(
    started: Start, own_url: str
) -> None:
    async with started(own_url) as client:
        response = await client.post(HOSTS, json={"name": "default", "url": "http://host"})
        assert response.status_code == 409 and "named default already" in response.json()["error"]
        for response in (
            await client.patch(f"{HOSTS}/default", json={"url": "http://host"}),
            await client.delete(f"{HOSTS}/default"),
        ):
            assert response.status_code == 400 and "MEMICOS_INFERENCE_HOSTS" in response.json()["error"]
        for response in (
            await client.patch(f"{HOSTS}/gpu", json={"enabled": False}),
            await client.delete(f"{HOSTS}/gpu"),
        ):
            assert response.status_code == 404 and "there is default" in response.json()["error"]


async def test_beyond_loopback_only_the_owner_reads_and_changes_hosts(started: Start, own_url: str) -> None:
    async with started(own_url, host="0.0.0.0", allowed_hosts="localhost") as client:
        for response in (
            await client.get(HOSTS),
            await client.post(HOSTS, json={"name": "gpu", "url": "http://host"}),
            await client.patch(f"{HOSTS}/default", json={"enabled": False}),
            await client.delete(f"{HOSTS}/default"),
        ):
            assert response.status_code == 403
        assert [row[0] for row in await stored(own_url)] == ["default"]


def command(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from memicos_cli.main import app; app()", "hosts", *arguments]
    return subprocess.run(
        program, env={**os.environ, "DATABASE_URL": url}, capture_output=True, text=True, timeout=60, check=False
    )


async def test_the_command_changes_the_hosts_of_a_running_webapp(started: Start, own_url: str) -> None:
    double = FakeInferenceServer()
    down = f"http://127.0.0.1:{free_port()}"

    async def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(command, own_url, *arguments)

    async def until(condition: Callable[[httpx.Response], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition(await client.post("/api/activation/new", json=OWN_TEXT)):  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async with running(double.app()) as url, started(own_url, inference_url=down, inference_poll_seconds=0.2) as client:
        added = await run("add", "gpu", url)
        assert (added.returncode, added.stdout) == (0, f"gpu: {url} is added\n"), added.stderr
        await until(lambda response: response.status_code == 200)
        listed = (await run("list")).stdout.splitlines()
        assert f"gpu\t{url}\t-\tenabled\tadded" in listed
        assert (await run("change", "gpu", "--disable")).stdout == f"gpu: {url}, disabled\n"
        await until(lambda response: response.status_code == 503)
        assert (await run("remove", "gpu")).stdout == "gpu is removed\n"
        second_removal = await run("remove", "gpu")
        assert second_removal.returncode == 1 and second_removal.stderr.startswith(
            "hosts: There is no inference host 'gpu'"
        )
        bad = await run("add", "gpu", "ftp://host")
        assert bad.returncode == 1 and "must begin with http" in bad.stderr and "Traceback" not in bad.stderr


async def test_a_host_can_be_disabled_where_its_secret_is_not_set(
    started: Start, own_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFERENCE_SECRET_GPU", "theirs")
    added = {"name": "gpu", "url": "http://host", "secretVariable": "INFERENCE_SECRET_GPU"}
    async with started(own_url, inference_hosts="b=http://two") as client:
        assert (await client.post(HOSTS, json=added)).status_code == 200
        monkeypatch.delenv("INFERENCE_SECRET_GPU")
        # an added host and one of the settings, by the command and by the API
        for state in ("disabled", "enabled"):
            option = f"--{state.removesuffix('d')}"
            changed = await asyncio.to_thread(command, own_url, "change", "gpu", option)
            assert (changed.returncode, changed.stdout) == (0, f"gpu: http://host, {state}\n"), changed.stderr
        for name, secret in (("gpu", "INFERENCE_SECRET_GPU"), ("b", None)):
            response = await client.patch(f"{HOSTS}/{name}", json={"enabled": False})
            assert response.status_code == 200 and response.json()["state"] == "disabled"
            assert (name, secret, False) in [(row[0], row[2], row[3]) for row in await stored(own_url)]
        # what it calls is checked
        for changes in ({"secretVariable": "INFERENCE_SECRET_GPU"}, {"url": "http://other"}):
            response = await client.patch(f"{HOSTS}/gpu", json=changes)
            assert response.status_code == 400 and "no variable INFERENCE_SECRET_GPU" in response.json()["error"]


async def test_a_read_only_webapp_uses_hosts_and_writes_none(
    started: Start, own_url: str, inference: FakeInferenceServer
) -> None:
    connection = await asyncpg.connect(own_url)
    try:
        await connection.execute("INSERT INTO inference_host (name, url) VALUES ('gpu', 'http://127.0.0.1:9')")
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    finally:
        await connection.close()
    async with started(own_url, read_only=True) as client:
        assert (await client.post("/api/activation/new", json=OWN_TEXT)).status_code == 200
        health = (await client.get("/health")).json()
        assert [host["name"] for host in health["inference"]] == ["default", "gpu"]
        response = await client.patch(f"{HOSTS}/gpu", json={"enabled": False})
        assert response.status_code == 403 and "READ_ONLY" in response.text
    assert [row[0] for row in await stored(own_url)] == ["gpu"]
