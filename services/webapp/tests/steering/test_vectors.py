"""Vectors that users upload: JSON API, limits, visibility, own text, steering, pages."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import asyncpg
import httpx
import pytest
from memicos_testing.fake_inference_server import FakeInferenceServer, tokens_of
from memicos_testing.fake_inference_server.bodies import projection_of
from memicos_webapp.accounts.viewer import current_viewer
from memicos_webapp.app import create_app
from memicos_webapp.catalog.names import check_name
from memicos_webapp.catalog.visibility import NOBODY, Viewer
from memicos_webapp.datasets.cleanup import clean
from memicos_webapp.settings import Settings

Started = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
VALUES = [0.5 if i % 2 else -0.25 for i in range(16)]
TEXT = "the whale rose from the sea"


def new(**changes: Any) -> dict[str, Any]:
    return {
        "modelId": "small",
        "layerNumber": 2,
        "hookType": "hook_resid_post",
        "vector": VALUES,
        "vectorLabel": "politeness of sailors",
        "vectorDefaultSteerStrength": 4,
        **changes,
    }


@pytest.fixture
async def writer(own_url: str, started: Started, served_inference: Any, inference: FakeInferenceServer) -> Any:
    """A client of an application with a database of the test's own."""
    async with started(own_url, inference_url=served_inference.url) as client:
        yield client


async def upload(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    response = await client.post("/api/vector/new", json=new(**changes))
    assert response.status_code == 200, response.text
    vector = response.json()["vector"]
    return {"modelId": vector["modelId"], "source": vector["source"], "index": vector["index"]}


async def test_a_vector_is_stored_read_listed_and_deleted(writer: httpx.AsyncClient) -> None:
    response = (await writer.post("/api/vector/new", json=new())).json()
    vector = response["vector"]
    assert vector["source"] == "2-vectors-resid-post" and vector["hookName"] == "blocks.2.hook_resid_post"
    assert vector["values"] == VALUES and vector["label"] == "politeness of sailors"
    assert response["url"] == f"http://localhost/small/2-vectors-resid-post/{vector['index']}"
    address = {"modelId": "small", "source": vector["source"], "index": vector["index"]}
    stored = (await writer.post("/api/vector/get", json=address)).json()["vector"]
    assert (stored["layer"], stored["vector"], stored["vectorDefaultSteerStrength"]) == (vector["source"], VALUES, 4)
    assert (await writer.post("/api/vector/list-owned")).json()["vectors"] == [stored]
    assert (await writer.post("/api/vector/delete", json=address)).json() == {"message": "Success"}
    for path in ("get", "delete"):
        assert (await writer.post(f"/api/vector/{path}", json=address)).status_code == 404
    assert (await writer.post("/api/vector/list-owned")).json()["vectors"] == []


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"vector": VALUES[:-1]}, 400, "vector has 15 numbers; the residual stream of small is 16 wide"),
        ({"vector": [0.0] * 16}, 400, "Every number of vector is 0"),
        ({"vector": ["a"] * 16}, 422, "vector.0 must be a number"),
        ({"vector": [1e400] * 16}, 422, "must be a finite number"),
        ({"vector": [1e308] * 16}, 400, "vector has a length (L2 norm) of more than 1e+30"),
        ({"layerNumber": 4}, 400, "small has no layer 4; its layers are 0 to 3"),
        ({"layerNumber": True}, 422, "layerNumber must be a whole number"),
        ({"layerNumber": -1}, 422, "layerNumber must be 0 or more"),
        ({"hookType": "hook_z"}, 422, "hookType must be"),
        ({"vectorLabel": ""}, 422, "vectorLabel must not be empty"),
        ({"vectorLabel": "a" * 201}, 400, "at most 200 are allowed (MEMICOS_VECTOR_LABEL_CHARACTERS)"),
        ({"vectorDefaultSteerStrength": -10_001}, 400, "allowed is -10000 to 10000"),
        ({"modelId": "nope"}, 404, "There is no model 'nope'; available: small"),
        ({"visibility": "secret"}, 422, "visibility must be 'public', 'unlisted' or 'private'"),
    ],
)
async def test_bad_vectors_are_refused(
    client: httpx.AsyncClient, changes: dict[str, Any], status: int, message: str
) -> None:
    body = new(**changes)
    content = httpx.Request("POST", "http://a", json={**body, "vector": []}).content
    if body["vector"] == [1e400] * 16:
        content = content.replace(b"[]", b"[1e400]")
        response = await client.post("/api/vector/new", content=content, headers={"Content-Type": "application/json"})
    else:
        response = await client.post("/api/vector/new", json=body)
    assert response.status_code == status and message in response.json()["error"], response.text


async def test_vectors_of_an_account_and_texts_of_a_vector_have_limits(own_url: str, started: Started) -> None:
    async with started(own_url, vectors_per_account=2, vector_examples=3, vector_example_tokens=4) as client:
        first = await upload(client)
        # at the same time: only one of three is the second
        created = await asyncio.gather(*(client.post("/api/vector/new", json=new()) for _ in range(3)))
        assert sorted(result.status_code for result in created) == [200, 409, 409]
        refused = next(result for result in created if result.status_code == 409)
        assert "MEMICOS_VECTORS_PER_ACCOUNT" in refused.json()["error"]
        texts = [{"tokens": ["a", "b"], "values": [1, 2]}] * 2
        results = await asyncio.gather(
            *(client.post("/api/activation/upload-batch", json={**first, "activations": texts}) for _ in range(2))
        )
        assert sorted(result.status_code for result in results) == [200, 409]
        huge = [{"tokens": ["a"], "values": [1e308]}]
        second = next(result for result in created if result.status_code == 200).json()["vector"]
        address = {name: second[name] for name in first}
        response = await client.post("/api/activation/upload-batch", json={**address, "activations": huge})
        assert response.status_code == 200, response.text
        for item, message in [
            ({"tokens": ["a", "b"], "values": [1]}, "activations.0 has 2 tokens and 1 value"),
            ({"tokens": ["a"] * 5, "values": [1] * 5}, "MEMICOS_VECTOR_EXAMPLE_TOKENS"),
        ]:
            response = await client.post("/api/activation/upload-batch", json={**first, "activations": [item]})
            assert response.status_code == 400 and message in response.json()["error"]


async def test_own_text_gives_dot_products(writer: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    address = await upload(writer)
    body = {"feature": address, "customText": TEXT}
    result = (await writer.post("/api/activation/new", json=body)).json()
    assert result["values"] == [projection_of(VALUES, token) for token in tokens_of(TEXT)]
    assert result["recipe"]["hook_name"] == "blocks.2.hook_resid_post" and result["recipe"]["sae"] is None
    (sent,) = inference.bodies("/v1/activation/single")
    assert sent["vector"] == VALUES and sent["hook"] == "blocks.2.hook_resid_post" and "source" not in sent
    # as sources are trained: BOS before the text, and no part of the maximum on pages
    assert sent["prepend_bos"] is True and result["ignoredPositions"] == [0]
    counted = (await writer.post("/api/activation/new", json={**body, "ignoreBos": True})).json()
    assert counted["maxValue"] == max(result["values"][1:]) and counted["maxValueTokenIndex"] > 0
    bare = (await writer.post("/api/activation/new", json={**body, "prependBos": False})).json()
    assert bare["tokens"] == tokens_of(TEXT)[1:] and bare["ignoredPositions"] == []
    unknown = await writer.post("/api/activation/new", json={"feature": {**address, "index": 1}, "customText": TEXT})
    assert unknown.status_code == 404 and "has no vector" in unknown.json()["error"]


async def test_vectors_steer(writer: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    address = await upload(writer)
    feature = {**address, "strength": -3}
    body = {"modelId": "small", "features": [feature], "n_tokens": 2}
    answer = (await writer.post("/api/steer", json={**body, "prompt": "Once"})).json()
    assert answer["STEERED"] and answer["DEFAULT"]
    turns = [{"role": "user", "content": "Hello"}]
    chat = {**body, "defaultChatMessages": turns, "steeredChatMessages": [{"role": "user", "content": "Bye"}]}
    assert (await writer.post("/api/steer-chat", json=chat)).json()["STEERED"]
    expected = {"steering_vector": VALUES, "strength": -3, "hook": "blocks.2.hook_resid_post"}
    (sent,) = inference.bodies("/v1/steer/completion")
    assert sent["vectors"] == [expected] and "features" not in sent
    by_type = {tuple(sent["types"]): sent for sent in inference.bodies("/v1/steer/completion-chat")}
    assert by_type["STEERED",]["vectors"] == [expected] and by_type["DEFAULT",]["features"] == []
    mixed = {**body, "features": [feature, {"modelId": "small", "layer": "1-res", "index": 5, "strength": 1}]}
    response = await writer.post("/api/steer", json={**mixed, "prompt": "Once"})
    assert response.status_code == 400 and "one request steers with one kind" in response.json()["error"]


async def test_the_steer_page_finds_a_vector_and_shows_its_slider(writer: httpx.AsyncClient) -> None:
    address = await upload(writer)
    name = f"{address['source']}/{address['index']}"
    for query in ("sail polite", name):
        found = await writer.get("/small/steer/find", params={"q": query})
        assert f"index={address['index']}" in found.text and "politeness of sailors" in found.text
    page = (await writer.get("/small/steer", params={"feature": name})).text
    assert "politeness of sailors" in page and 'value="4"' in page and "whose length is 1.58" in page


async def test_the_page_shows_texts_and_runs_a_text(writer: httpx.AsyncClient) -> None:
    address = await upload(writer)
    texts = [
        {"tokens": ["weak", " text"], "values": [0.5, -1]},
        {"tokens": ["strong", " text"], "values": [-2, 8.5]},
    ]
    response = await writer.post("/api/activation/upload-batch", json={**address, "activations": texts})
    assert response.json() == {"message": "2 texts stored."}
    path = f"/small/{address['source']}/{address['index']}"
    page = (await writer.get(path)).text
    assert page.index("strong") < page.index("weak") and 'class="a9" title="8.50"' in page
    assert "politeness of sailors" in page and "share of the largest value in these texts, 8.50" in page
    for wrong in ("x", "-1", "1", "9" * 30):
        assert (await writer.get(f"/small/{address['source']}/{wrong}")).status_code == 404
    result = (await writer.post(f"{path}/test", data={"text": TEXT})).text
    assert "share of the largest value in the vector’s texts" in result
    assert "memicos recompute" not in result
    listed = (await writer.get("/vectors")).text
    assert path in listed
    for text in (page, listed):
        assert "<p>Delete this vector and its texts? Links to it stop working.</p>" in text
    deleted = await writer.post(f"{path}/delete", headers={"Origin": "http://localhost"})
    assert deleted.status_code == 303 and deleted.headers["location"] == "/vectors"
    assert (await writer.get(path)).status_code == 404
    assert "You have no vectors" in (await writer.get("/vectors")).text


@pytest.mark.parametrize("visibility", ["public", "unlisted", "private"])
async def test_who_reads_and_changes_a_vector(
    own_url: str, inference: FakeInferenceServer, visibility: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await asyncpg.connect(own_url)
    await connection.execute("INSERT INTO account (id, name) OVERRIDING SYSTEM VALUE VALUES (2, 'other')")
    await connection.close()
    app = create_app(Settings(database_url=own_url, inference_url="http://127.0.0.1:9"))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as c,
    ):
        monkeypatch.setitem(app.dependency_overrides, current_viewer, lambda: Viewer(1))
        address = await upload(c, visibility=visibility)
        path = f"/small/{address['source']}/{address['index']}"
        readable = visibility != "private"
        for viewer in (Viewer(2), NOBODY):
            monkeypatch.setitem(app.dependency_overrides, current_viewer, lambda viewer=viewer: viewer)
            for method, url, body in [
                ("POST", "/api/vector/get", address),
                ("GET", path, None),
                ("GET", f"/small/steer/feature?source={address['source']}&index={address['index']}", None),
            ]:
                assert (await c.request(method, url, json=body)).status_code == (200 if readable else 404)
            texts = [{"tokens": ["a"], "values": [1]}]
            for url, body in [
                ("/api/vector/delete", address),
                ("/api/activation/upload-batch", {**address, "activations": texts}),
            ]:
                assert (await c.post(url, json=body)).status_code == (403 if readable else 404)
            found = (await c.get("/small/steer/find?q=politeness")).text
            assert "politeness of sailors" not in found
        monkeypatch.setitem(app.dependency_overrides, current_viewer, lambda: Viewer(2))
        assert (await c.post("/api/vector/list-owned")).json() == {"vectors": []}
        monkeypatch.setitem(app.dependency_overrides, current_viewer, lambda: NOBODY)
        assert (await c.post("/api/vector/list-owned")).status_code == 403
        assert (await c.get("/vectors")).status_code == 403


async def test_names_of_vectors_are_refused_for_source_sets() -> None:
    assert "are of vectors" in (check_name("vectors-resid-post") or "")
    assert check_name("vector-set") is None


async def test_a_model_with_vectors_outlives_its_sources(own_url: str) -> None:
    connection = await asyncpg.connect(own_url)
    try:
        await connection.execute(
            """INSERT INTO model (id, name, layers, d_model, vocabulary_size, chat, origin, license)
               VALUES ('bare', 'Bare', 1, 2, 3, false, '', ''), ('empty', 'Empty', 1, 2, 3, false, '', '');
               INSERT INTO user_vector (model_id, source, index, layer, hook_name, label, values)
               VALUES ('bare', '0-vectors-resid-post', 1, 0, 'blocks.0.hook_resid_post', 'one', '{1, 2}')"""
        )
        await clean(connection, 0)
        models = await connection.fetch("SELECT id FROM model ORDER BY id")
        assert [row["id"] for row in models] == ["bare", "small"]
    finally:
        await connection.close()
