"""The owner's page of the inference hosts: who may see and change them, and forms with bad values."""

import httpx
import pytest
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_testing.servers import Start, running
from memicos_testing.webapp.html_page import Page

PAGE = "/account/inference-hosts"
ORIGIN = {"Origin": "http://localhost"}
FORM = {"name": "gpu", "url": "http://127.0.0.1:9", "secret_variable": ""}


async def names(client: httpx.AsyncClient) -> list[str]:
    return [host["name"] for host in (await client.get("/api/admin/inference-hosts")).json()["hosts"]]


async def test_a_host_is_added_changed_disabled_and_removed(
    started: Start, own_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFERENCE_SECRET_GPU", "the secret itself")
    server = FakeInferenceServer(secret="the secret itself")
    async with running(server.app()) as url, started(own_url) as client:
        response = await client.post(PAGE, data=FORM, headers=ORIGIN)
        assert response.status_code == 303 and response.headers["location"] == f"{PAGE}#host-gpu"
        changes = {"url": f"{url}/", "secret_variable": "INFERENCE_SECRET_GPU"}
        assert (await client.post(f"{PAGE}/gpu/change", data=changes, headers=ORIGIN)).status_code == 303
        assert (await client.get("/small/inference")).status_code == 200
        server.load = 4
        states = f"{PAGE}/states?name=default&name=gpu&name=gone"
        page = Page((await client.get(states)).text).text()
        assert "ready small, 3 sources; 0 requests in progress" in page and page.endswith("removed"), page
        text = (await client.get(PAGE)).text
        assert "INFERENCE_SECRET_GPU" in text and "the secret itself" not in text
        assert (await client.post(f"{PAGE}/gpu/disable", headers=ORIGIN)).status_code == 303
        assert "disabled" in Page((await client.get(f"{PAGE}/states?name=gpu")).text).text()
        assert (await client.post(f"{PAGE}/gpu/enable", headers=ORIGIN)).status_code == 303
        assert (await client.post(f"{PAGE}/gpu/remove", headers=ORIGIN)).status_code == 303
        assert await names(client) == ["default"]
        assert (await client.post(f"{PAGE}/gpu/remove", headers=ORIGIN)).status_code == 404
        assert (await client.get(f"{PAGE}/gpu/change")).headers["location"] == PAGE


@pytest.mark.parametrize(
    ("path", "change", "status", "message"),
    [
        ("", {"name": "GPU"}, 400, "lower-case letters"),
        ("", {"name": "default"}, 409, "named default already"),
        ("", {"url": "10.0.0.7:5002"}, 400, "must begin with http"),
        ("", {"url": "http://user:password@host"}, 400, "user or password"),
        ("", {"secret_variable": "OPENAI_API_KEY"}, 400, "is named INFERENCE_SECRET"),
        ("", {"secret_variable": "INFERENCE_SECRET_UNSET"}, 400, "has no variable INFERENCE_SECRET_UNSET"),
        ("/default/change", {}, 400, "come from INFERENCE_URL"),
        ("/nope/change", {}, 404, "no inference host 'nope'"),
        ("/default/remove", {}, 400, "disable it here"),
        ("", {"name": "x" * 64}, 422, "name"),
        ("", {"url": "http://" + "x" * 2000}, 422, "url"),
    ],
)
async def test_a_bad_form_changes_nothing_and_keeps_what_was_entered(
    started: Start, own_url: str, path: str, change: dict[str, str], status: int, message: str
) -> None:
    async with started(own_url) as client:
        response = await client.post(PAGE + path, data=FORM | change, headers=ORIGIN)
        assert response.status_code == status and message in Page(response.text).text(), response.text
        if path == "" and status == 400:
            values = {str(field.get("value")) for field, _ in Page(response.text).find("input")}
            assert set(FORM.values()) | set(change.values()) - {""} >= values - {"None", ""}
            assert next(iter(change.values())) in values
        assert await names(client) == ["default"]


async def test_only_the_owner_sees_and_changes_hosts(started: Start, own_url: str) -> None:
    async with started(own_url, host="0.0.0.0") as client:
        for path in (PAGE, f"{PAGE}/states?name=default", f"{PAGE}/default/change"):
            response = await client.get(path)
            assert response.status_code == 403 and "owner-link" in response.text and "127.0.0.1" not in response.text
        for path in ("", "/default/change", "/default/enable", "/default/disable", "/default/remove"):
            assert (await client.post(PAGE + path, data=FORM, headers=ORIGIN)).status_code == 403
        assert PAGE not in (await client.get("/account")).text
    async with started(own_url) as client:
        assert PAGE in (await client.get("/account")).text
        response = await client.post(f"{PAGE}/default/disable", headers={"Origin": "https://evil.example"})
        assert response.status_code == 403
    async with started(own_url, read_only=True) as client:
        page = await client.get(PAGE)
        assert page.status_code == 200 and "Add a server" not in page.text
        assert (await client.post(f"{PAGE}/default/disable", headers=ORIGIN)).status_code == 403
