"""The API's documentation: every example runs as printed, and every field is listed with its limits."""

import re
import shlex
from html import unescape

import httpx
import pytest
from fastapi import FastAPI
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_testing.servers import Start, free_port
from memicos_testing.webapp.html_page import Page
from memicos_webapp.api_doc.service import DocumentReader


async def printed(client: httpx.AsyncClient) -> dict[str, list[str]]:
    """The arguments of every example's command line, by the path in its heading."""
    page = Page((await client.get("/api-doc")).text)
    paths = [text for attributes, text in page.find("h3") if text.startswith("/")]
    # a shell continues a line that ends in a backslash
    commands = [text.replace("\\\n", "") for _, text in page.find("code") if text.startswith("curl ")]
    return dict(zip(paths, map(shlex.split, commands), strict=True))


async def run(client: httpx.AsyncClient, command: list[str]) -> httpx.Response:
    """The request that curl would send."""
    address, options = command[1], dict(zip(command[2::2], command[3::2], strict=True))
    # curl treats these characters as patterns
    assert not set(address) & set("{}[]")
    headers = dict([options["-H"].split(": ")]) if "-H" in options else {}
    if "--data-binary" in options:
        return await client.request(options["-X"], address, content=b"a part", headers=headers)
    if "-d" in options:
        return await client.post(address, content=options["-d"], headers=headers)
    return await client.request(options.get("-X", "GET"), address)


ADMIN_NAMES = ("data/verify", "data/delete", "exports", "explanations", "scores")
OWN_EXAMPLES = {
    "/api/vector/new": (400, "vector has 3 numbers; the residual stream of small is 16 wide"),
    **dict.fromkeys(("/api/vector/get", "/api/vector/delete", "/api/activation/upload-batch"), (404, "has no vector")),
    **{f"/api/dataset-upload/{name}": (404, "has no upload 0000") for name in ("get", "complete", "delete")},
    "/api/dataset-upload/part/{uploadId}/{file}/{part}": (404, "has no upload 0000"),
    "/api/admin/imports": (400, "bucket.example"),
    "/api/admin/data/plan": (400, "bucket.example"),
    **{f"/api/admin/{name}": (404, "There is no source or set") for name in ADMIN_NAMES},
    # job 1 is the import of this server's dataset
    **{f"/api/admin/jobs/{{number}}/{action}": (409, "Job 1 ") for action in ("cancel", "resume")},
}
"""Status and error of examples about something of the reader's own, such as a vector, which no server has."""


async def test_every_example_runs_as_it_is_printed(
    own_url: str, started: Start, inference: FakeInferenceServer, app: FastAPI
) -> None:
    async with started(own_url, autointerp_url=f"http://127.0.0.1:{free_port()}") as client:
        commands = await printed(client)
        assert set(commands) == set(app.openapi()["paths"])
        for path, command in commands.items():
            response = await run(client, command)
            if path == "/api/explanation/generate":
                # the request is valid; only the language model is missing
                assert (response.status_code, "Autointerp is not running" in response.text) == (503, True), (
                    response.text
                )
            elif path == "/api/explanation/score":
                # the request is valid; only the inference server's double has the feature active on a word of four
                assert (response.status_code, "on which it is not" in response.text) == (503, True), response.text
            elif path in ("/api/explanation/{explanationId}/delete", "/api/explanation/score/{scoreId}/delete"):
                # the explanation or score to delete belongs to the dataset
                assert (response.status_code, "by a dataset" in response.text) == (403, True), response.text
            elif path in OWN_EXAMPLES:
                status, message = OWN_EXAMPLES[path]
                assert response.status_code == status and message in response.text, (path, response.text)
            else:
                assert response.status_code == 200, (path, response.text)


async def test_without_features_the_examples_are_the_demos(fresh_url: str, started: Start) -> None:
    async with started(fresh_url) as client:
        commands = await printed(client)
    assert commands["/api/feature/{model}/{source}/{index}"][1].endswith("/api/feature/smollm2-135m-it/15-res-4k/87")
    assert '"sourceSet": "res-4k"' in commands["/api/search-all"][-1]


async def test_every_field_of_every_object_is_there(client: httpx.AsyncClient, app: FastAPI) -> None:
    document = app.openapi()
    documentation = DocumentReader(document, "http://localhost", {}).documentation()
    operations = [operation for group in documentation.tags.values() for operation in group]
    shapes = dict(documentation.shapes)
    shapes |= {shape.name: shape for item in operations for shape in item.responses}
    bodies = {item.path: [field.name for field in item.body] for item in operations if item.body}
    for path, methods in document["paths"].items():
        for part in ("requestBody", "responses"):
            for name in re.findall(r"#/components/schemas/(\w+)", str(methods.get("post", {}).get(part, ""))):
                fields = list(document["components"]["schemas"][name]["properties"])
                if part == "requestBody":
                    assert bodies[path] == fields
                elif name != "ErrorBody":
                    assert [field.name for field in shapes[name].fields] == fields
    # referenced objects are listed too, with links from their names
    page = Page((await client.get("/api-doc")).text)
    ids = {attributes["id"] for _, attributes, _ in page.elements if "id" in attributes}
    links = {
        (attributes["href"] or "")[1:]
        for attributes, _ in page.find("a")
        if (attributes["href"] or "").startswith("#shape-")
    }
    assert {"shape-FeatureId", "shape-ActivationRow", "shape-ExplanationHit", "shape-NeuronBody"} <= links <= ids


@pytest.mark.parametrize(
    ("operation", "field", "message"),
    [
        ("steer", "n_tokens", "tokens to generate, at most 256 (setting MEMICOS_STEER_TOKENS); 1 or more; default 256"),
        ("search_explanations_all", "query", "at most 200 (setting MEMICOS_QUERY_CHARACTERS)"),
        ("search_explanations_all", "offset", "0 to 100000"),
        ("search_explanations_all", "maxDensity", "at most; 0 to 1"),
        ("search_topk_by_token", "densityThreshold", "-1 to 1; default 0.01"),
        ("search_topk_by_token", "modelId", "at most 100 characters"),
        ("new_activation", "ignoreBos", "default false"),
        ("steer_chat", "defaultChatMessages", "1 or more entries"),
    ],
)
async def test_limits_and_defaults_are_documented(app: FastAPI, operation: str, field: str, message: str) -> None:
    documentation = DocumentReader(app.openapi(), "http://localhost", {}).documentation()
    (matching,) = [item for group in documentation.tags.values() for item in group if item.id == operation]
    (note,) = [row.note for row in matching.body if row.name == field]
    assert message in note


async def test_a_collapsed_row_shows_the_summary_and_an_open_one_the_errors(
    client: httpx.AsyncClient, app: FastAPI
) -> None:
    html = (await client.get("/api-doc")).text
    collapsed: dict[str, str] = {}
    opened: dict[str, str] = {}
    for section in html.split("<details ")[1:]:
        summary, remainder = section.split("<summary>")[1].split("</summary>")
        row = Page(summary)
        ((_, method),) = row.find("span", class_="method")
        ((_, path),) = row.find("h3")
        collapsed[f"{method} {path}"] = row.text()
        opened[f"{method} {path}"] = unescape(remainder.split("</details>")[0])
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            name = f"{method.upper()} {path}"
            assert operation["summary"] in collapsed[name]
            for status, response in operation["responses"].items():
                assert status.startswith("2") or response["description"] in opened[name], (name, status)
