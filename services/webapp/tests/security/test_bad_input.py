"""Every route with invalid input responds with a clear error message, never with a 500."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI
from memicos_service.errors import MAX_MESSAGE
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_testing.webapp.html_page import Page

FEATURE = {"modelId": "small", "layer": "1-res", "index": 5}
VECTOR = {"modelId": "small", "source": "1-vectors-resid-post", "index": 5}
STEER = {
    "modelId": "small",
    "features": [{**FEATURE, "strength": 2.0}],
    "temperature": 0.5,
    "n_tokens": 1,
    "freq_penalty": 1,
    "seed": 1,
    "strength_multiplier": 1,
    "steer_method": "SIMPLE_ADDITIVE",
    "n_logprobs": 1,
    "stream": False,
}
TURNS = [{"role": "user", "content": "Hello"}]
QUERY = {"query": "whale", "offset": 0, "minDensity": 0.0, "maxDensity": 1.0, "byMeaning": True}
UPLOAD = {"uploadId": "0" * 32}
UPLOAD_FILE = {"path": "manifest.json", "bytes": 4, "sha256": "0" * 64}
BODIES: dict[str, dict[str, Any]] = {
    "/api/activation/new": {"feature": FEATURE, "customText": "a b", "ignoreBos": True},
    "/api/search-all": {
        "modelId": "small", "sourceSet": "res", "text": "a b", "selectedLayers": ["1-res"], "sortIndexes": [1],
        "ignoreBos": True, "densityThreshold": 0.5, "numResults": 3, "rank": "share",
    },
    "/api/search-topk-by-token": {
        "modelId": "small", "source": "1-res", "text": "a b", "numResults": 2, "ignoreBos": True,
        "densityThreshold": 0.5,
    },
    "/api/explanation/search": {**QUERY, "modelId": "small", "layers": ["1-res"]},
    "/api/explanation/search-all": QUERY,
    "/api/explanation/search-model": {**QUERY, "modelId": "small"},
    "/api/explanation/search-release": {**QUERY, "releaseName": "small-release"},
    # a dead feature: refused before the language model is called
    "/api/explanation/generate": {
        **FEATURE, "index": 15, "explanationType": "eleuther_acts_top20", "explanationModelName": "m",
    },
    # an unknown explanation: nothing is written
    "/api/explanation/987654321/label": {"chosen": True},
    # an unknown explanation: nothing is scored
    "/api/explanation/score": {
        "explanationId": 987654321, "scorerType": "recall_alt", "scorerModel": "m", "profile": "default",
        "apiKey": "key", "nearMisses": True, "seed": 1, "attempt": 1, "stream": False, "streamSteps": False,
    },
    # a variable that is not set: no host is added
    "/api/admin/inference-hosts": {
        "name": "default", "url": "http://127.0.0.1:9", "secretVariable": "INFERENCE_SECRET_UNSET", "enabled": False,
    },
    # a layer that the model lacks, and vectors that do not exist: nothing is written
    "/api/vector/new": {
        "modelId": "small", "layerNumber": 9, "hookType": "hook_resid_post", "vector": [1.0, 0.0], "vectorLabel": "one",
        "vectorDefaultSteerStrength": 1.0, "visibility": "public",
    },
    "/api/vector/get": VECTOR,
    "/api/vector/delete": VECTOR,
    "/api/activation/upload-batch": {**VECTOR, "activations": [{"tokens": ["a"], "values": [1.0]}]},
    # a folder that no import root has, and sources that do not exist: no job is added
    "/api/admin/imports": {
        "location": "/nowhere", "sources": ["1-res"], "missing": "keep", "moveSources": True, "layers": 4, "dModel": 16,
        "vocabularySize": 50, "countedTokens": 1000, "license": "MIT", "corpusUrl": "https://example.org/texts",
    },
    "/api/admin/data/verify": {"name": "small/9-res"},
    "/api/admin/data/delete": {"name": "small/9-res"},
    "/api/admin/exports": {"name": "small/9-res", "format": "public"},
    "/api/admin/explanations": {
        "name": "small/9-res", "method": "eleuther_acts_top20", "profile": "default", "model": "gpt-4.1-mini",
        "budget": 1.0, "unexplained": True, "contrastive": True, "minDensity": 0.1, "maxDensity": 0.5,
        "scoreBelow": 0.5, "scoreMethod": "eleuther_embedding", "indices": "1,2-4", "failedIn": 987654321,
        "batch": True,
    },
    "/api/admin/scores": {
        "name": "small/9-res", "method": "eleuther_fuzz", "profile": "default", "model": "gpt-4.1-mini",
        "budget": 1.0, "unscored": True, "nearMisses": True, "seed": 1, "minDensity": 0.1, "maxDensity": 0.5,
        "scoreBelow": 0.5, "scoreMethod": "eleuther_embedding", "indices": "1,2-4", "failedIn": 987654321,
        "batch": True,
    },
    # a path twice, and an unknown upload: nothing is written
    "/api/dataset-upload/new": {
        "name": "parent/mine", "files": [UPLOAD_FILE, UPLOAD_FILE], "missing": "keep", "moveSources": True,
        "metadata": {
            "layers": 4, "dModel": 16, "vocabularySize": 50, "countedTokens": 1000, "license": "MIT",
            "corpusUrl": "https://example.org/texts",
        },
    },
    "/api/dataset-upload/get": UPLOAD,
    "/api/dataset-upload/complete": UPLOAD,
    "/api/dataset-upload/delete": UPLOAD,
    "/api/steer": {**STEER, "prompt": "Once"},
    "/api/steer-chat": {
        **STEER, "defaultChatMessages": TURNS, "steeredChatMessages": TURNS, "steer_special_tokens": True,
    },
}  # fmt: skip
"""A body with every field of every route that takes one."""
STATUSES = {
    "/api/explanation/generate": 400,
    "/api/explanation/987654321/label": 404,
    "/api/explanation/score": 404,
    "/api/admin/inference-hosts": 400,
    "/api/vector/new": 400,
    "/api/vector/get": 404,
    "/api/vector/delete": 404,
    "/api/activation/upload-batch": 404,
    "/api/admin/imports": 400,
    "/api/admin/data/verify": 404,
    "/api/admin/data/delete": 404,
    "/api/admin/exports": 404,
    "/api/admin/explanations": 404,
    "/api/admin/scores": 404,
    "/api/dataset-upload/new": 400,
    "/api/dataset-upload/get": 404,
    "/api/dataset-upload/complete": 404,
    "/api/dataset-upload/delete": 404,
}
"""Status of the response to these bodies, where it is not 200."""
WITHOUT_BODY = {
    "/api/explanation/{explanationId}/delete",
    "/api/explanation/score/{scoreId}/delete",
    "/api/vector/list-owned",
    "/api/admin/jobs/{number}/cancel",
    "/api/admin/jobs/{number}/resume",
}

HOSTILE: tuple[Any, ...] = (
    None, True, -1, 1.5, 2**31, 2**63, 10**30, 1e308, "", " ", "x" * 5000, "\0", "a\0b", "ü→🐳", "'; DROP TABLE load",
    "%s", "{0}", "../../etc", [], [[]], [None], ["x"] * 2000, {}, {"a": {"b": []}},
)  # fmt: skip


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all values in a body, except the body itself."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inside:
        yield (*path, key)
        yield from leaves(child, (*path, key))


def replaced(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(body))
    parent = copy
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    return copy


def refused(response: httpx.Response, value: object) -> None:
    """Check that the response is a success or a refusal with a message."""
    assert response.status_code < 500, (value, response.text)
    if response.status_code >= 400:
        body = response.json()
        assert set(body) == {"error", "message"} and body["error"] == body["message"] and len(body["error"]) > 10, value
        # what was sent is repeated, but not at any length
        assert "x" * 300 not in body["error"] and len(body["error"]) <= MAX_MESSAGE, value
        # the validator's own messages are not for users
        assert not re.search("Input should|Value error|a valid", body["error"]), (value, body)


@pytest.mark.parametrize("path", BODIES)
async def test_every_field_with_invalid_values(
    client: httpx.AsyncClient, inference: FakeInferenceServer, path: str
) -> None:
    body = BODIES[path]
    response = await client.post(path, json=body)
    assert response.status_code == STATUSES.get(path, 200), response.text
    for leaf in leaves(body):
        for value in HOSTILE:
            changed = replaced(body, leaf, value)
            response = await client.post(path, content=json.dumps(changed), headers=JSON)
            refused(response, (leaf, value))


async def test_no_route_is_forgotten(app: FastAPI) -> None:
    assert {path for path, methods in app.openapi()["paths"].items() if "post" in methods} == {
        path.replace("987654321", "{explanationId}") for path in BODIES
    } | WITHOUT_BODY


@pytest.mark.parametrize("path", BODIES)
async def test_missing_bodies(client: httpx.AsyncClient, path: str) -> None:
    valid = json.dumps(BODIES[path])
    bodies = [
        b"", b"{", b"null", b"[]", b"1", b'"x"', b"{}", b"\xff\xfe{", b'{"a": \xff}', b"[" * 50_000, b"{" * 50_000,
        b'{"a": NaN}', f'{valid[:-1]}, "note": "\\ud800"}}'.encode(), f'{valid[:-1]}, "\\udc00": 1}}'.encode(),
    ]  # fmt: skip
    for content in bodies:
        response = await client.post(path, content=content, headers={"Content-Type": "application/json"})
        refused(response, content[:40])
        assert response.status_code in (400, 422), (content[:40], response.text)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "nonsense", ""):
        response = await client.post(path, content=valid, headers={"Content-Type": kind})
        refused(response, kind)
    big = await client.post(path, content=b"x" * 1_000_001, headers={"Content-Type": "application/json"})
    assert big.status_code == 413 and "at most 1000000 are taken" in big.json()["error"]


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"query": "wh\\ud83dle"}', "query has an unpaired surrogate"),
        (b'{"query": "wh\\u0000le"}', "query has a NUL character"),
        (b'{"query": "whale", "a": [{"b": "\\u0000"}]}', "a.0.b has a NUL character"),
        (b'{"query": "whale", "a": {"\\u0000": 1}}', "A name in a has a NUL character"),
    ],
)
async def test_a_value_that_is_not_text_is_named(client: httpx.AsyncClient, content: bytes, message: str) -> None:
    response = await client.post("/api/explanation/search-all", content=content, headers=JSON)
    assert response.status_code == 400 and message in response.json()["error"]
    # whole surrogate pairs are valid text
    valid_content = content.replace(b"\\ud83d", b"\\ud83d\\udc33").replace(b"\\u0000", b"\\u0041")
    assert (await client.post("/api/explanation/search-all", content=valid_content, headers=JSON)).status_code == 200


@pytest.mark.parametrize(
    ("path", "content", "status", "message"),
    [
        ("steer", b"", 422, "The body must be a JSON object, {…}, sent with the header Content-Type: "),
        ("steer", b"[]", 422, "The body must be a JSON object"),
        ("steer", b"null", 422, "The body must be a JSON object"),
        ("steer", b"{}", 422, "modelId is missing; prompt is missing; features is missing."),
        ("steer", b'{"modelId', 400, "The body is not valid JSON: Unterminated string starting at character 1."),
        ("steer", b"[" * 50_000, 400, "The body is nested too deeply."),
        ("steer", b'{"a": \xff}', 400, "The body is not UTF-8: byte 0xff at 6."),
        ("explanation/search-all", b'{"query": "whale", "maxDensity": NaN}', 422, "maxDensity must be a finite"),
        ("explanation/search-all", b'{"query": "whale", "offset": 100001}', 422, "offset must be 100000 or less."),
        ("explanation/search-all", b'{"query": 1}', 422, "query must be a string."),
        ("explanation/search", b'{"query": "whale", "modelId": "small", "layers": 1}', 422, "layers must be a list."),
    ],
)  # fmt: skip
async def test_errors_in_a_body_have_readable_messages(
    client: httpx.AsyncClient, path: str, content: bytes, status: int, message: str
) -> None:
    response = await client.post(f"/api/{path}", content=content, headers=JSON)
    assert response.status_code == status and response.json()["error"].startswith(message), response.text


NAMES = (
    "nope", "1-res", "-1", "0x10", "5.0", "٣", "99999999999999999999", "2147483648", "a b", "ü🐳", "%", "%25", "..",
    "'", '"<b>', "x" * 3000, "a\0b", "\n",
)  # fmt: skip
QUERIES = (
    "page=-1", "page=1e9", "page=99999999999999999999", "sort=colour", "order=up", "show=most", "words=%00",
    "words=" + "x" * 300, "words=%22%27%26%7C%21", "density_from=x", "density_from=nan", "density_from=-1",
    "density_to=1e400", "max_from=inf", "max_to=-1", "score_from=nan", "score_to=2",
    "sort=score", "scorer=x", "scorer=%00", "q=%FF%FE", "q=" + "x" * 5000, "modelId=%00", "set=%2F%2F%2F",
    "sources=%7B%7D", "sources=[[]]", "sources=[" * 2000, "sortIndexes=[[1]]", "sortIndexes=-1", "sortIndexes=null",
    "sortIndexes=[1e99]", "selectedLayers=[1,null]", "maxDensity=nan", "releaseName=%00", "to=%00", "to=http://[",
    "to=" + "x" * 2000, "feature=%00", "feature=a/1@1e999", "feature=a/9999999999", "source=%00&index=%00",
    *(f"{name}={'[' * 1100}" for name in ("sortIndexes", "selectedLayers", "source", "set", "q", "feature")),
    "n_tokens=1e9", "seed=x", "mode=song", "chat=" + "[" * 2000, "chat=[]", "chat=1",
    "embed=maybe", "defaulttesttext=%00", "defaulttesttext=" + "y" * 9000,
    "location=%00", "location=..%2F..%2Fetc", "location=http://[", "location=" + "x" * 3000, "location=%FF",
    "source=" + "&source=" * 1100, "job=x", "job=0", "job=99999999999", "job=" + "&job=1" * 200,
    "a=b=c&&&=", "%", "q=a&index=99999999999&source=1-res",
)  # fmt: skip
ANY = "a embed %"
TEXT = "q modelId set source sortIndexes selectedLayers"
PATHS = {
    "/": "", "/jump": "to", "/small": "",
    "/small/1-res": "page sort order show words density_from density_to max_from max_to score_from score_to scorer",
    "/small/1-res/5": "defaulttesttext", "/small/1-res/5/explanations": "scorer",
    "/scores/1": "", "/score-type/eleuther_embedding": "",
    "/explanation-type/np_max-act": "", "/explanations/1/score": "", "/explanations/1/scores": "",
    "/search-explanations": "q modelId sources maxDensity releaseName page",
    "/search": TEXT, "/search/sources": TEXT, "/search/results": TEXT, "/search-topk-by-token": TEXT,
    "/search-topk-by-token/results": TEXT, "/steer": "", "/small/steer": "feature source n_tokens seed mode chat",
    "/small/steer/find": "q", "/small/steer/feature": "source q steer_method",
    "/small/inference": "", "/small/1-res/inference": "", "/vectors": "", "/account/data": "",
    "/account/data/browse": "location", "/account/data/plan": "location source", "/account/data/jobs/1": "",
    "/account/data/jobs/events": "job", "/account/data/jobs/1/download": "", "/account/data/delete": "",
    "/api/admin/data": "", "/api/admin/data/available": "location", "/api/admin/data/plan": "location source",
    "/api/admin/jobs": "", "/api/admin/jobs/1": "",
    "/api-doc": "", "/api/feature/small/1-res/5": "", "/api/openapi.json": "",
}  # fmt: skip
"""What every route that is read takes."""


async def test_invalid_paths(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    for name in NAMES:
        text = quote(name, safe="%") if name in ("%", "%25") else quote(name, safe="")
        for address in (
            f"/{text}", f"/small/{text}", f"/small/1-res/{text}", f"/{text}/1-res/5", f"/small/1-res/{text}/examples",
            f"/small/1-res/{text}/explanations",
            f"/small/{text}/5", f"/scores/{text}", f"/score-type/{text}", f"/explanation-type/{text}",
            f"/explanations/{text}/score", f"/explanations/{text}/scores",
            f"/{text}/steer", f"/small/{text}/inference", f"/{text}/inference", f"/small/steer/{text}",
            f"/small/steer/find?q={text}", f"/small/steer/feature?source={text}&index={text}", f"/jump?to={text}",
            f"/search?q={text}&modelId={text}", f"/search-explanations?q={text}&modelId={text}",
            f"/api/feature/small/1-res/{text}", f"/api/feature/{text}/1-res/5", f"/api/{text}", f"/static/{text}",
            f"/account/data/{text}", f"/account/data/jobs/{text}", f"/account/data/jobs/{text}/download",
            f"/account/data/browse?location={text}", f"/account/data/plan?location={text}&source={text}",
            f"/account/data/jobs/events?job={text}", f"/api/admin/jobs/{text}",
            f"/api/admin/data/available?location={text}", f"/api/admin/data/plan?location={text}&source={text}",
        ):  # fmt: skip
            response = await client.get(address)
            assert response.status_code < 500, address
            if response.headers.get("content-type", "").startswith("text/html"):
                assert Page(response.text).open == []
        for address in (
            f"/small/1-res/{text}/test", f"/{text}/1-res/5/test", f"/small/{text}/15/explain",
            f"/account/data/jobs/{text}/cancel", f"/account/data/jobs/{text}/resume",
            f"/api/admin/jobs/{text}/cancel", f"/api/admin/jobs/{text}/resume",
        ):  # fmt: skip
            assert (await client.post(address, data={"text": "a"})).status_code < 500, address
        for address in (f"{text}/0/0", f"{'0' * 32}/{text}/0", f"{'0' * 32}/0/{text}"):
            for sha256 in ("0" * 64, "x", quote(name)):
                headers = {"X-Part-SHA256": sha256}
                response = await client.put(f"/api/dataset-upload/part/{address}", content=b"a", headers=headers)
                assert 400 <= response.status_code < 500, (address, sha256)


async def test_invalid_queries(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    for path, takes in PATHS.items():
        for query in QUERIES:
            if query.split("=")[0] not in f"{takes} {ANY}".split():
                continue
            response = await client.get(f"{path}?{query}")
            assert response.status_code < 500, (path, query)
            if response.headers.get("content-type", "").startswith("text/html"):
                assert Page(response.text).open == [], (path, query)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "POST", "OPTIONS"])
async def test_unsupported_methods(client: httpx.AsyncClient, method: str) -> None:
    for path in PATHS:
        response = await client.request(method, path)
        # the form of a score is complete by its defaults: only the servers that it needs are not there
        unavailable = (503,) if (method, path) == ("POST", "/explanations/1/score") else ()
        assert response.status_code in (200, 303, 307, 400, 404, 405, 422, *unavailable), (method, path)


async def test_invalid_forms(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    for path in ("/small/1-res/5/test", "/small/1-res/15/explain"):
        for content, kind in (
            (b"", "application/x-www-form-urlencoded"),
            (b"text=%FF%00&explainer_model=%00", "application/x-www-form-urlencoded"),
            (b"text=" + b"x" * 100_000, "application/x-www-form-urlencoded"),
            (b"&&&==", "application/x-www-form-urlencoded"),
            (b"--x\r\nnonsense", "multipart/form-data; boundary=x"),
            (b"nonsense", "multipart/form-data"),
            (b'{"text": 1}', "application/json"),
            (b"text=" + b"a&text=" * 3000, "application/x-www-form-urlencoded"),
        ):
            response = await client.post(path, content=content, headers={"Content-Type": kind, "HX-Request": "true"})
            assert response.status_code < 500, (path, content[:40], response.text)
    for path in ("import", "verify", "export", "delete"):
        for field in ("name", "location", "source", "missing", "layers", "d_model", "vocabulary_size", "format"):
            for value in ("%00", "%FF", "x" * 3000, "-1", "1" * 5000, "%F0%9F%90%B3", ""):
                content = f"name=small%2F9-res&location=%2Fnowhere&{field}={value}".encode()
                kind = {"Content-Type": "application/x-www-form-urlencoded"}
                response = await client.post(f"/account/data/{path}", content=content, headers=kind)
                assert 400 <= response.status_code < 500, (path, content[:60], response.text)
    files = {"text": ("a.txt", b"a", "text/plain")}
    assert (await client.post("/small/1-res/5/test", files=files)).status_code == 422


@pytest.mark.parametrize("index", ["1_0", " 3", "+3", "３"])
async def test_an_index_as_a_string_has_digits_only(client: httpx.AsyncClient, index: str) -> None:
    body = {"feature": {"modelId": "small", "layer": "2-small", "index": index}, "customText": "a"}
    response = await client.post("/api/activation/new", json=body)
    assert response.status_code in (400, 422) and "digits" in response.text
