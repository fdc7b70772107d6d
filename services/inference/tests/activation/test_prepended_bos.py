"""BOS in front of a prompt: once, also where the prompt begins with it."""

from typing import Any

import httpx
import pytest
from memicos_testing.models.small_model import NAME, SAMPLE

TEXT = SAMPLE[:60]
REQUESTS: dict[str, dict[str, Any]] = {
    "activation/single": {"source": "2-small", "index": 3},
    "activation/all": {"source_set": "small", "selected_sources": ["2-small"]},
    "activation/topk-by-token": {"source": "2-small"},
}


@pytest.mark.parametrize("path", REQUESTS)
async def test_a_prompt_that_begins_with_bos_gets_no_second_one(url: str, path: str) -> None:
    async with httpx.AsyncClient(base_url=f"{url}/v1", timeout=60) as http:
        body = {"model": NAME} | REQUESTS[path]
        plain = (await http.post(path, json=body | {"prompt": TEXT})).json()
        with_bos = (await http.post(path, json=body | {"prompt": "<bos>" + TEXT})).json()
    assert plain.pop("prepended_bos") and not with_bos.pop("prepended_bos")
    assert plain["token_ids"].count(plain["token_ids"][0]) == 1 and plain == with_bos


@pytest.mark.parametrize(
    ("path", "body"),
    [("activation/source", {"source": "2-small"}), ("activation/raw", {"layers": [2], "prepend_bos": True})],
)
async def test_each_prompt_of_several_says_whether_bos_was_prepended(url: str, path: str, body: dict[str, Any]) -> None:
    async with httpx.AsyncClient(base_url=f"{url}/v1", timeout=60) as http:
        prompts = [TEXT, "<bos>" + TEXT]
        first, second = (await http.post(path, json={"model": NAME, "prompts": prompts} | body)).json()["results"]
    assert (first["prepended_bos"], second["prepended_bos"]) == (True, False)
    assert first["token_ids"] == second["token_ids"]


async def test_tokens_joined_are_a_prompt_with_the_same_tokens(url: str) -> None:
    async with httpx.AsyncClient(base_url=f"{url}/v1", timeout=60) as http:
        body = {"model": NAME, "prepend_bos": True}
        first = (await http.post("tokenize", json=body | {"text": TEXT})).json()
        second = (await http.post("tokenize", json=body | {"text": "".join(first["token_strings"])})).json()
    assert first["tokens"] == second["tokens"] and (first["prepend_bos"], second["prepend_bos"]) == (True, False)


@pytest.mark.parametrize("index", ["1_0", " 3", "+3", "3.0", "３", "-1", ""])
async def test_an_index_as_a_string_has_digits_only(url: str, index: str) -> None:
    async with httpx.AsyncClient(base_url=f"{url}/v1", timeout=60) as http:
        body = {"model": NAME, "prompt": TEXT, "source": "2-small"}
        assert (await http.post("activation/single", json=body | {"index": "03"})).status_code == 200
        response = await http.post("activation/single", json=body | {"index": index})
    assert response.status_code == 422 and "digits" in response.text


async def test_a_line_separator_is_escaped(url: str) -> None:
    async with httpx.AsyncClient(base_url=f"{url}/v1", timeout=60) as http:
        text = "a\u2028b\u2029c\x85d\x0be\x0cf"
        response = await http.post("tokenize", json={"model": NAME, "text": text, "prepend_bos": False})
    assert len(response.text.splitlines()) == 1


async def test_a_line_separator_is_escaped_in_errors(url: str) -> None:
    async with httpx.AsyncClient(base_url=f"{url}/v1", timeout=60) as http:
        response = await http.post("tokenize", json={"model": "a\u2028b\x85c", "text": "x"})
    assert response.status_code == 400 and len(response.text.splitlines()) == 1
    assert "a\u2028b\x85c" in response.json()["error"]
