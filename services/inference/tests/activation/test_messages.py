"""Conversations and BOS of requests for activations, against transformers' chat template and plain values."""

import json
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from memicos_testing.models import plain_model
from memicos_testing.models.small_model import NAME, SAMPLE, small_sae, write_extras
from memicos_testing.servers import Serve
from transformers import AutoTokenizer

MESSAGES = [
    {"role": "user", "content": "Who is Alice?"},
    {"role": "assistant", "content": " A girl who sat by her sister."},
]
TEXT = SAMPLE[:60]
REQUESTS: dict[str, dict[str, Any]] = {
    "activation/single": {"source": "2-small", "index": 3},
    "activation/all": {"source_set": "small", "selected_sources": ["2-small"]},
    "activation/topk-by-token": {"source": "2-small"},
    "activation/single-batch": {"source": "2-small", "index": 3},
    "activation/all-batch": {"source_set": "small", "selected_sources": ["2-small"]},
    "activation/topk-by-token-batch": {"source": "2-small"},
    "activation/source": {"source": "2-small"},
    "activation/raw": {"layers": [2], "type": "all_tokens"},
}
BATCHES = [path for path in REQUESTS if "batch" in path or path in ("activation/source", "activation/raw")]


@pytest.fixture(scope="module")
def mixed_sources(sources_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of the other tests, and 0-small, which was trained without BOS."""
    folder = shutil.copytree(sources_folder, tmp_path_factory.mktemp("mixed") / "sources")
    small_sae(folder / "0-small", 0, 96, seed=4)
    write_extras(folder / "0-small", [], None)
    config = folder / "0-small" / "memicos.json"
    config.write_text(config.read_text().replace("{", '{"prepend_bos": false, ', 1))
    return folder


@pytest.fixture(scope="module")
async def http(serve_for_module: Serve, templated_model: Path, mixed_sources: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A model whose template writes BOS."""
    url = await serve_for_module(custom_hf_model_id=str(templated_model), sae_folder=mixed_sources)
    async with httpx.AsyncClient(base_url=f"{url}/v1", timeout=60) as http:
        yield http


@pytest.fixture(scope="module")
def tokenizer(templated_model: Path) -> Any:
    return AutoTokenizer.from_pretrained(templated_model)


def rendered(tokenizer: Any, messages: list[dict[str, str]], **options: Any) -> list[int]:
    """Token ids by transformers alone."""
    return tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, **options)["input_ids"]


async def results_of(http: httpx.AsyncClient, path: str, **body: Any) -> list[dict[str, Any]]:
    response = await http.post(path, json={"model": NAME} | REQUESTS[path] | body)
    assert response.status_code == 200, response.text
    answer = response.json()
    return answer["results"] if path in BATCHES else [answer]


@pytest.mark.parametrize("path", REQUESTS)
@pytest.mark.parametrize("options", [{}, {"add_generation_prompt": False}, {"chat_template_kwargs": {"loud": True}}])
async def test_a_conversation_is_the_templates_text(
    http: httpx.AsyncClient, tokenizer: Any, path: str, options: dict[str, Any]
) -> None:
    messages = [MESSAGES, MESSAGES[:1]] if path in BATCHES else MESSAGES
    conversations = [MESSAGES, MESSAGES[:1]] if path in BATCHES else [MESSAGES]
    kwargs = options.get("chat_template_kwargs", {})
    generation = options.get("add_generation_prompt", True)
    expected = [rendered(tokenizer, chat, add_generation_prompt=generation, **kwargs) for chat in conversations]
    results = await results_of(http, path, messages=messages, **options)
    assert [result["token_ids"] for result in results] == expected
    # the template has written BOS
    assert all(ids[0] == 2 and ids.count(2) == 1 for ids in expected)
    assert not any(result["prepended_bos"] for result in results)
    # values are those of the rendered text as a prompt, and of the tokens that apply-chat-template returns
    texts = [tokenizer.decode(ids) for ids in expected]
    prompts = {"prompts": texts} if path in BATCHES else {"prompt": texts[0]}
    as_text = await results_of(http, path, **prompts)
    for result, other in zip(results, as_text, strict=True):
        for recipe in (result, other):
            recipe.pop("recipe", None)
            for source in recipe.get("sources", []):
                source["recipe"].pop("prepend_bos")
        assert result == other
    applied = await http.post("apply-chat-template", json={"messages": conversations[0], **options})
    assert applied.json()["tokens"] == expected[0]


@pytest.mark.parametrize("path", [path for path in REQUESTS if path != "activation/raw"])
async def test_without_bos_the_first_token_counts(
    http: httpx.AsyncClient, hf: Any, tokenizer: Any, sources_folder: Path, path: str
) -> None:
    ids = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    values, near = plain_model.encode(sources_folder / "2-small", plain_model.residuals(hf, ids, [2])[2])
    body: dict[str, Any] = {"prepend_bos": False, "ignore_bos": True}
    index = int(np.argmax(np.where(near, 0, values)[0]))
    if "single" in path:
        body["index"] = index
    if "all" in path:
        body["num_results"] = 1000
    prompts = {"prompts": [TEXT, "<bos>" + TEXT]} if path in BATCHES else {"prompt": TEXT}
    result, *others = await results_of(http, path, **body, **prompts)
    assert result["token_ids"] == ids and not result["prepended_bos"]
    recipe = result["sources"][0] if "all" in path else result
    assert recipe["ignored_positions"] == []
    if path != "activation/source":
        assert recipe["recipe"]["ignored_positions"] == [] and recipe["recipe"]["prepend_bos"] is False
    if "single" in path:
        assert result["activation"]["values"] == pytest.approx(values[:, index], abs=1e-3)
        assert result["activation"]["max_value_index"] == int(np.argmax(values[:, index]))
    elif "all" in path:
        (feature,) = [feature for feature in result["activations"] if feature["index"] == index]
        assert feature["max_value"] == pytest.approx(values[:, index].max(), abs=1e-3)
    elif "topk" in path:
        assert [row["token_position"] for row in result["results"]] == list(range(len(ids)))
    else:
        assert result["activeFeatures"][str(index)][0][0] == 0
    # a text that begins with BOS has one, which the source was trained to ignore
    for other in others:
        ignored = other["sources"][0] if "all" in path else other
        assert other["token_ids"] == [2, *ids] and not other["prepended_bos"] and ignored["ignored_positions"] == [0]


async def test_a_bos_that_the_recipe_does_not_prepend_is_ignored(
    http: httpx.AsyncClient, hf: Any, tokenizer: Any
) -> None:
    ids = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    for requested, bos in ((None, False), (False, False), (True, True)):
        (result,) = await results_of(
            http, "activation/single", prompt=TEXT, source="0-small", index=3, prepend_bos=requested, ignore_bos=True
        )
        assert result["token_ids"] == ([2, *ids] if bos else ids) and result["prepended_bos"] is bos
        assert result["ignored_positions"] == result["recipe"]["ignored_positions"] == ([0] if bos else [])
        assert result["recipe"]["prepend_bos"] is bos
        values = result["activation"]["values"]
        assert result["activation"]["max_value"] == max(values[1:] if bos else values)


async def test_sources_that_differ_in_bos_run_together_where_the_request_decides(http: httpx.AsyncClient) -> None:
    body = {"selected_sources": ["0-small", "2-small"]}
    refused = await http.post("activation/all", json={"model": NAME, "source_set": "small", "prompt": TEXT} | body)
    assert refused.status_code == 400 and "set prepend_bos" in refused.text
    for requested, ignored in ((True, [[0], [0]]), (False, [[], []])):
        (result,) = await results_of(http, "activation/all", prompt=TEXT, prepend_bos=requested, **body)
        assert [source["ignored_positions"] for source in result["sources"]] == ignored
    (result,) = await results_of(http, "activation/all", messages=MESSAGES, **body)
    # only one of them was trained with BOS, which the template writes
    assert [source["ignored_positions"] for source in result["sources"]] == [[], [0]]


@pytest.mark.parametrize(("requested", "bos"), [(None, False), (True, True), (False, False)])
async def test_bos_of_a_vector(http: httpx.AsyncClient, hf: Any, tokenizer: Any, requested: Any, bos: bool) -> None:
    ids = [2] * bos + tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    vector = np.random.default_rng(3).normal(size=128)
    body = {"source": None, "index": None, "vector": vector.tolist(), "hook": "blocks.2.hook_resid_post"}
    (result,) = await results_of(http, "activation/single", prompt=TEXT, prepend_bos=requested, **body)
    assert result["token_ids"] == ids and result["prepended_bos"] is bos and result["ignored_positions"] == []
    assert result["activation"]["values"] == pytest.approx(plain_model.residuals(hf, ids, [2])[2] @ vector, abs=1e-3)
    assert result["recipe"]["prepend_bos"] is bos


async def test_a_conversation_that_the_template_rejects(http: httpx.AsyncClient) -> None:
    body = {"model": NAME, "messages": MESSAGES, "chat_template_kwargs": {"tokenize": True}}
    response = await http.post("activation/single", json=body | REQUESTS["activation/single"])
    assert response.status_code == 400 and "not an option of a chat template" in response.text
    long = [{"role": "user", "content": "Alice sat. " * 60}]
    body = {"model": NAME, "messages": [MESSAGES, long]}
    response = await http.post("activation/source", json=body | REQUESTS["activation/source"])
    assert response.status_code == 400 and "tokens, max is 100 (messages.1)" in response.text


@pytest.mark.parametrize("content", [" A girl", " A girl who sat by", "A girl.\n\n", "Yes  "])
async def test_steering_continues_the_last_message(
    http: httpx.AsyncClient, tokenizer: Any, hf: Any, content: str
) -> None:
    messages = [MESSAGES[0], {"role": "assistant", "content": content}]
    expected = rendered(tokenizer, messages, continue_final_message=True)
    assert 3 not in expected[-3:] and tokenizer.decode(expected).endswith(content)
    body = {
        "model": NAME,
        "prompt": messages,
        "continue_final_message": True,
        "types": ["STEERED", "DEFAULT"],
        "features": [{"model": NAME, "source": "2-small", "index": 3, "strength": 4}],
        "n_completion_tokens": 5,
        "temperature": 0,
    }
    answer = (await http.post("steer/completion-chat", json=body)).json()
    assert answer["input"]["token_ids"] == expected and answer["input"]["chat_template"] == messages
    for output in answer["outputs"]:
        last = {"role": "assistant", "content": content + output["completion"]}
        assert sorted(output["chat_template"][-1].items()) == sorted(last.items())
        assert len(output["chat_template"]) == 2 and output["raw"].startswith(answer["input"]["raw"])
    ids = list(expected)
    for token in answer["outputs"][1]["token_ids"]:
        assert token == int(plain_model.logits(hf, ids)[-1].argmax())
        ids.append(token)
    streamed = await http.post("steer/completion-chat", json=body | {"stream": True, "stream_deltas": True})
    assert json.loads(streamed.text.strip().splitlines()[-1].removeprefix("data: ")) == answer


async def test_a_continued_message_of_a_model_without_template(url: str, tokenize: Callable[[str], list[int]]) -> None:
    body = {"model": NAME, "prompt": MESSAGES, "continue_final_message": True, "types": ["DEFAULT"], "features": []}
    async with httpx.AsyncClient(base_url=f"{url}/v1", timeout=60) as http:
        response = await http.post("steer/completion-chat", json=body | {"n_completion_tokens": 2, "temperature": 0})
    expected = "<|im_start|>user\nWho is Alice?<|im_end|>\n<|im_start|>assistant\n A girl who sat by her sister."
    assert response.json()["input"]["token_ids"] == tokenize(expected)[1:]
