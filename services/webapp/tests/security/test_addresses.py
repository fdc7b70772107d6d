"""Addresses and bodies that are nested, of another type, or have digits of other scripts: refused, never a 500."""

import httpx
import pytest

NESTED = "[" * 1100


@pytest.mark.parametrize("page", ["/search", "/search/results", "/search/sources", "/search-topk-by-token/results"])
@pytest.mark.parametrize("name", ["sortIndexes", "selectedLayers", "source"])
async def test_a_deeply_nested_list_in_an_address(client: httpx.AsyncClient, page: str, name: str) -> None:
    response = await client.get(page, params={"modelId": "small", "q": "the whale", name: NESTED})
    assert response.status_code == 400 and "is not a JSON list" in response.text


async def test_a_deeply_nested_list_in_the_search_of_explanations(client: httpx.AsyncClient) -> None:
    params = {"q": "whale", "modelId": "small", "sources": NESTED}
    response = await client.get("/search-explanations", params=params)
    assert response.status_code == 422 and "sources" in response.text


FORMS = [
    "/small/1-res/5/test",
    "/small/1-res/5/explain",
    "/explanations/1/delete",
    "/explanations/1/label",
    "/account/sign-in",
    "/account/sign-out",
    "/account/api-keys",
    "/account/provider-keys",
    "/account/inference-hosts",
    "/account/inference-hosts/default/change",
]


@pytest.mark.parametrize(
    "content",
    [b"{}", b"[]", b'"x"', b"1", b"null", b'{"text": {"a": []}}', b"[" * 5000, b"\xff", b"[" * 5000 + b"\\u0041"],
)
@pytest.mark.parametrize("path", FORMS)
async def test_a_form_with_a_json_body(client: httpx.AsyncClient, path: str, content: bytes) -> None:
    response = await client.post(path, content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 400 and "takes a form" in response.text


@pytest.mark.parametrize("content", [b'{"\\u', b"[" * 5000 + b"\\u0041", b'"\xff\\u0041"'])
@pytest.mark.parametrize("path", ["/api/explanation/1/delete", "/api/explanation/1/label", "/api/steer"])
async def test_json_that_cannot_be_read(client: httpx.AsyncClient, path: str, content: bytes) -> None:
    response = await client.post(path, content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 400 and "body" in response.json()["error"]


@pytest.mark.parametrize("digits", ["٣", "３", "²"])
async def test_digits_are_ascii_digits(client: httpx.AsyncClient, digits: str) -> None:
    assert (await client.get(f"/small/1-res/{digits}")).status_code == 404
    assert (await client.get(f"/api/feature/small/1-res/{digits}")).status_code == 400
    page = await client.get(
        "/search/results", params={"modelId": "small", "q": "the whale", "sortIndexes": f"[{digits}]"}
    )
    assert page.status_code == 400, page.text
    listed = await client.get("/search/results", params={"modelId": "small", "q": "the whale", "sortIndexes": digits})
    assert listed.status_code == 400, listed.text
    response = await client.get("/health", headers=[(b"Content-Length", digits.encode())])
    assert response.status_code == 400
