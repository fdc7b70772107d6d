"""Our server's values for gpt2-small and 7-res-jb over HTTP, compared with Neuronpedia's.

The known values are in float16; 0.1 or a thousandth covers the difference from float32. Different rules here:
`all` with `ignore_bos` excludes position 0 before ranking, the known server drops features that are strongest at it
afterwards; positions of `topk-by-token` count from the BOS; ORTHOGONAL_DECOMP by a vector that is not of length 1 is a
projection here, not there. Adding a vector of 1000s a hundred times overflows float16: the known text
("!!!!!!!!!!") is the first token of the vocabulary, the argmax of NaN logits. float32 gives text without a known value.
"""

from typing import Any

import httpx
import numpy as np
import pytest
from memicos_testing.models.known_cases import PROMPT, RequestTarget, cases, refused

WHERE = RequestTarget("gpt2-small", "7-res-jb", "res-jb", 768, "blocks.7.hook_resid_post")
CASES = cases(WHERE)
REFUSED = refused(WHERE)
TOKENS = ["<|endoftext|>", "Hello", ",", " world", "!"]
ALL = [(16653, 46.48, 1), (13715, 43.22, 1), (2494, 33.58, 2), (22763, 26.63, 3), (13413, 25.00, 4)]
NOT_ON_BOS = [(16653, 46.4813, 1), (11553, 8.8328, 4), (9810, 8.0957, 1), (14806, 6.7890, 2), (16488, 6.3486, 3)]
"""The strongest features whose maximum is not on BOS."""
TOP_K = [
    [(9663, 941.2), (14519, 631.7), (8598, 608.9)],
    [(16653, 46.48), (13715, 43.22), (20750, 22.14)],
    [(2494, 33.58), (1457, 19.78), (15348, 14.11)],
    [(22763, 26.63), (17362, 22.53), (2494, 15.49)],
    [(13413, 25.00), (21841, 17.19), (2494, 15.78)],
]
DEFAULT = "\n\nI'm a programmer and I'm a"
CHAT = f"<|im_start|>user\n{PROMPT}<|im_end|>\n<|im_start|>assistant\n"


async def response_to(url: str, name: str) -> Any:
    """The response to a case; for a batch, that of its first prompt."""
    path, body = CASES[name]
    async with httpx.AsyncClient(base_url=url, timeout=600) as http:
        response = await http.post(f"/v1/{path}", json=body)
    assert response.status_code == 200, response.text
    return response.json()["results"][0] if "prompts" in body else response.json()


def approximately(value: Any) -> Any:
    return pytest.approx(value, rel=1e-3, abs=0.1)


@pytest.mark.parametrize("name", ["all", "all, in a batch"])
async def test_all(url: str, name: str) -> None:
    response = await response_to(url, name)
    results = response["activations"]
    assert [(item["index"], item["max_value_index"]) for item in results] == [(index, at) for index, _, at in ALL]
    assert [item["max_value"] for item in results] == approximately([value for _, value, _ in ALL])
    assert results[2]["values"][1:] == approximately([3.085, 33.58, 15.50, 15.78])
    assert response["tokens"] == TOKENS and {item["source"] for item in results} == {"7-res-jb"}


async def test_all_of_features_that_are_not_strongest_on_bos(url: str) -> None:
    path, body = CASES["all"]
    filter_options = {"feature_filter": [index for index, _, _ in NOT_ON_BOS], "ignore_bos": False}
    async with httpx.AsyncClient(base_url=url, timeout=600) as http:
        results = (await http.post(f"/v1/{path}", json=body | filter_options)).json()["activations"]
    assert [(item["index"], item["max_value_index"]) for item in results] == [
        (index, at) for index, _, at in NOT_ON_BOS
    ]
    assert [item["max_value"] for item in results] == approximately([value for _, value, _ in NOT_ON_BOS])
    assert results[1]["values"] == approximately([0, 0, 3.799, 6.367, 8.833])


@pytest.mark.parametrize("name", ["single", "single, in a batch"])
async def test_single(url: str, name: str) -> None:
    response = await response_to(url, name)
    assert response["activation"]["values"] == approximately([134.7197, 0.0517, 0, 0, 0])
    assert (response["activation"]["max_value"], response["activation"]["max_value_index"]) == (
        approximately(134.7197),
        0,
    )
    assert response["tokens"] == TOKENS


@pytest.mark.parametrize("name", ["single of a vector", "single of a vector, in a batch"])
async def test_single_of_a_vector(url: str, name: str) -> None:
    """gpt2's tokenizer does not prepend BOS."""
    response = await response_to(url, name)
    assert response["activation"]["values"] == pytest.approx([5.414, 3.238, 1.946, 1.672], abs=0.05)
    assert response["tokens"] == TOKENS[1:]


@pytest.mark.parametrize("name", ["top-k", "top-k, in a batch", "top-k with BOS", "top-k with BOS, in a batch"])
async def test_topk(url: str, name: str) -> None:
    """Positions count from BOS, excluded or not: they index `tokens`."""
    response = await response_to(url, name)
    first = 0 if "with BOS" in name else 1
    assert [row["token_position"] for row in response["results"]] == list(range(first, 5))
    assert [row["token"] for row in response["results"]] == TOKENS[first:]
    for row, expected in zip(response["results"], TOP_K[first:], strict=True):
        results = [(item["feature_index"], item["activation_value"]) for item in row["top_features"]]
        assert [index for index, _ in results] == [index for index, _ in expected]
        assert [value for _, value in results] == approximately([value for _, value in expected])


async def test_source(url: str) -> None:
    """Known values of each feature; BOS is excluded."""
    response = await response_to(url, "source")
    active = {int(index): dict(map(tuple, pairs)) for index, pairs in response["activeFeatures"].items()}
    assert response["tokens"] == TOKENS and 0 not in {position for pairs in active.values() for position in pairs}
    for position, row in enumerate(TOP_K[1:], start=1):
        for index, value in row:
            assert active[index][position] == approximately(value)
    for index, value, position in (*ALL, *NOT_ON_BOS):
        assert active[index][position] == approximately(value)


@pytest.mark.parametrize(
    ("name", "steered"),
    [("additive", " the world, the world, the world, the"), ("orthogonal", " Hy" * 10), ("orthogonal vector", DEFAULT)],
)
async def test_completions(url: str, name: str, steered: str) -> None:
    """A vector of equal numbers changes only the mean of the residual stream, which gpt2's LayerNorm removes."""
    results = {item["type"]: item for item in (await response_to(url, name))["outputs"]}
    assert results["DEFAULT"]["output"] == PROMPT + DEFAULT
    assert results["STEERED"]["output"] == PROMPT + steered


@pytest.mark.parametrize(
    ("name", "steered"),
    [
        ("chat, additive", "\n<|im_start|>user\n"),
        ("chat, orthogonal", " (?, Asahi, Asahi, Asahi,"),
    ],
)
async def test_chats(url: str, name: str, steered: str) -> None:
    """gpt2 has no chat template: ChatML is used."""
    response = await response_to(url, name)
    results = {item["type"]: item for item in response["outputs"]}
    assert response["input"]["raw"] == CHAT
    assert results["DEFAULT"]["raw"] == CHAT + "<|im_end|>\n<|"
    assert results["STEERED"]["raw"] == CHAT + steered


async def test_a_vector_that_overflows_float16(url: str) -> None:
    steered = (await response_to(url, "additive vector"))["outputs"][0]
    assert steered["type"] == "STEERED" and len(steered["token_ids"]) == 10


async def test_logprobs(url: str) -> None:
    for item in (await response_to(url, "log-probabilities"))["outputs"]:
        assert len(item["logprobs"]) == 5
        assert all(len(token["top_logprobs"]) == 2 for token in item["logprobs"])


@pytest.mark.parametrize(("name", "norm"), [("encoder", 1.9834), ("next encoder", 1.9098)])
async def test_encoder_columns(url: str, name: str, norm: float) -> None:
    response = await response_to(url, name)
    assert len(response["vector"]) == 768 and response["hookName"] == "blocks.7.hook_resid_pre"
    assert np.linalg.norm(response["vector"]) == pytest.approx(norm, abs=1e-3)
    if name == "encoder":
        assert response["vector"][:3] == pytest.approx([1.1268e-05, 0.130311, 0.023656], abs=1e-4)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("near a feature", [(5, 1.0), (15785, 0.6101891), (9213, 0.5031710)]),
        ("near a vector", [(16087, 0.7319666), (20434, 0.4019958), (12002, 0.0581763)]),
    ],
)
async def test_cosines(url: str, name: str, expected: list[tuple[int, float]]) -> None:
    results = (await response_to(url, name))["topk_decoder_cossim_features"]
    assert [item["feature"]["index"] for item in results] == [index for index, _ in expected]
    assert [item["cosine_similarity"] for item in results] == pytest.approx([value for _, value in expected], abs=1e-5)


@pytest.mark.parametrize("name", REFUSED)
async def test_refused_requests(url: str, name: str) -> None:
    path, body, message = REFUSED[name]
    async with httpx.AsyncClient(base_url=url, timeout=600) as http:
        response = await http.post(f"/v1/{path}", json=body)
    assert response.status_code == 400 and message in response.json()["error"]
    if message == "Text too long: ":
        assert "6001 tokens, max is 500" in response.json()["error"]
