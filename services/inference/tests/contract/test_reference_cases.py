"""The requests that have known answers for gpt2-small (tests/hub_network), here on the small model against plain
transformers and numpy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from memicos_testing.models import plain_model
from memicos_testing.models.known_cases import (
    FEATURE,
    MULTIPLIER,
    PROMPT,
    STRENGTH,
    TOO_LONG,
    RequestTarget,
    cases,
    refused,
)
from memicos_testing.models.small_model import NAME
from safetensors.torch import load_file

Tokenize = Callable[[str], list[int]]

WHERE = RequestTarget(NAME, "1-small", "small", 128, "blocks.1.hook_resid_post")
CASES = cases(WHERE)
REFUSED = refused(WHERE)
CHAT = f"<|im_start|>user\n{PROMPT}<|im_end|>\n<|im_start|>assistant\n"


async def response_to(url: str, name: str) -> Any:
    """The response to a case; for a batch, that of its first prompt."""
    path, body = CASES[name]
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        response = await http.post(f"/v1/{path}", json=body)
    assert response.status_code == 200, response.text
    return response.json()["results"][0] if "prompts" in body else response.json()


def approximately(value: Any) -> Any:
    return pytest.approx(value, rel=1e-3, abs=1e-3)


@pytest.fixture(scope="module")
def weights(sources_folder: Path) -> dict[str, torch.Tensor]:
    return load_file(sources_folder / "1-small" / "sae_weights.safetensors")


@pytest.fixture(scope="module")
def values(hf: Any, tokenize: Tokenize, sources_folder: Path) -> np.ndarray:
    """(T, F) on the prompt with BOS; fails if a value is too near its threshold."""
    encoded, close = plain_model.encode(sources_folder / "1-small", plain_model.residuals(hf, tokenize(PROMPT), [1])[1])
    assert not close.any()
    return encoded


@pytest.fixture(scope="module")
def changes(weights: dict[str, torch.Tensor]) -> dict[str, dict[int, plain_model.Change]]:
    """The steering of each case, by layer."""
    row, ones, total = weights["W_dec"][FEATURE], torch.full((128,), 1000.0), STRENGTH * MULTIPLIER
    return {
        "additive": {1: plain_model.added(row, total)},
        "orthogonal": {1: plain_model.scaled(row, total)},
        "additive vector": {1: plain_model.added(ones, total)},
        "orthogonal vector": {1: plain_model.scaled(ones, total)},
    }


@pytest.mark.parametrize("name", ["all", "all, in a batch"])
async def test_all(url: str, values: np.ndarray, name: str) -> None:
    peaks, at = values[1:].max(0), values[1:].argmax(0) + 1
    best = np.argsort(-peaks, kind="stable")[:5]
    activations = (await response_to(url, name))["activations"]
    assert [(activation["index"], activation["max_value_index"]) for activation in activations] == [
        (i, at[i]) for i in best
    ]
    assert [activation["max_value"] for activation in activations] == approximately(peaks[best].tolist())
    for activation in activations:
        assert (
            activation["values"] == approximately(values[:, activation["index"]].tolist())
            and activation["source"] == "1-small"
        )


@pytest.mark.parametrize("name", ["single", "single, in a batch"])
async def test_single(url: str, tokenize: Tokenize, values: np.ndarray, name: str) -> None:
    response = await response_to(url, name)
    assert response["activation"]["values"] == approximately(values[:, 0].tolist())
    assert response["activation"]["max_value_index"] == values[:, 0].argmax()
    assert response["token_ids"] == tokenize(PROMPT) and "".join(response["tokens"]) == "<bos>" + PROMPT


@pytest.mark.parametrize("name", ["single of a vector", "single of a vector, in a batch"])
async def test_single_of_a_vector(url: str, hf: Any, tokenize: Tokenize, name: str) -> None:
    ids = tokenize(PROMPT)[1:]
    response = await response_to(url, name)
    expected = 0.1 * plain_model.residuals(hf, ids, [0])[0].sum(-1)
    assert response["activation"]["values"] == approximately(expected.tolist()) and response["token_ids"] == ids


@pytest.mark.parametrize("name", ["top-k", "top-k, in a batch", "top-k with BOS", "top-k with BOS, in a batch"])
async def test_topk(url: str, values: np.ndarray, name: str) -> None:
    first = 0 if "with BOS" in name else 1
    rows = (await response_to(url, name))["results"]
    assert [row["token_position"] for row in rows] == list(range(first, len(values)))
    for row, row_values in zip(rows, values[first:], strict=True):
        best = [i for i in np.argsort(-row_values, kind="stable")[:3] if row_values[i] > 0]
        top_features = row["top_features"]
        assert [feature["feature_index"] for feature in top_features] == best
        assert [feature["activation_value"] for feature in top_features] == approximately(row_values[best].tolist())


async def test_source(url: str, values: np.ndarray) -> None:
    active = (await response_to(url, "source"))["activeFeatures"]
    values_by_position = {(position, int(index)): value for index, pairs in active.items() for position, value in pairs}
    expected = {(t, i): value for (t, i), value in np.ndenumerate(values) if value > 0 and t > 0}
    assert values_by_position == approximately(expected)


@pytest.mark.parametrize("name", ["additive", "orthogonal", "additive vector", "orthogonal vector"])
async def test_completions(url: str, hf: Any, tokenize: Tokenize, changes: Any, name: str) -> None:
    ids = tokenize(PROMPT)
    outputs = {output["type"]: output for output in (await response_to(url, name))["outputs"]}
    assert outputs["DEFAULT"]["token_ids"] == plain_model.greedy(hf, ids, 10)
    assert outputs["STEERED"]["token_ids"] == plain_model.greedy(hf, ids, 10, changes[name])
    for item in outputs.values():
        assert item["output"] == PROMPT + item["completion"]


@pytest.mark.parametrize("name", ["additive", "orthogonal"])
async def test_chats(url: str, hf: Any, tokenize: Tokenize, changes: Any, name: str) -> None:
    """glassllm has no template: ChatML is used, without a BOS."""
    ids = tokenize(CHAT)[1:]
    response = await response_to(url, f"chat, {name}")
    outputs = {output["type"]: output for output in response["outputs"]}
    special = torch.tensor([[token < 4 for token in ids]])[..., None]

    def spared(change: plain_model.Change) -> plain_model.Change:
        """No effect on special tokens of the prompt; glassllm has no tokens for "<", "|" and ">"."""

        def sparing(hidden: torch.Tensor) -> torch.Tensor:
            spare = torch.zeros(1, hidden.shape[1], 1, dtype=torch.bool)
            spare[:, : special.shape[1]] = special
            return torch.where(spare, hidden, change(hidden))

        return sparing

    assert response["input"]["token_ids"] == ids
    assert outputs["DEFAULT"]["token_ids"] == plain_model.greedy(hf, ids, 10)
    steering = {layer: spared(change) for layer, change in changes[name].items()}
    assert outputs["STEERED"]["token_ids"] == plain_model.greedy(hf, ids, 10, steering)


async def test_logprobs(url: str, hf: Any, tokenize: Tokenize, changes: Any) -> None:
    for output, steering in zip(
        (await response_to(url, "log-probabilities"))["outputs"], (changes["additive"], None), strict=True
    ):
        assert len(output["logprobs"]) == 5
        ids = tokenize(PROMPT)
        for token, chosen in zip(output["logprobs"], output["token_ids"], strict=True):
            expected = plain_model.logits(hf, ids, steering)[-1].log_softmax(-1)
            assert token["logprob"] == approximately(expected[chosen].item())
            top = [alternative["logprob"] for alternative in token["top_logprobs"]]
            assert top == approximately(expected.topk(2).values.tolist())
            ids = [*ids, chosen]


@pytest.mark.parametrize(("name", "index"), [("encoder", FEATURE), ("next encoder", FEATURE + 1)])
async def test_encoder_columns(url: str, weights: dict[str, torch.Tensor], name: str, index: int) -> None:
    response = await response_to(url, name)
    assert response["vector"] == approximately(weights["W_enc"][:, index].tolist())
    assert response["hookName"] == "blocks.1.hook_resid_post"


@pytest.mark.parametrize("name", ["near a feature", "near a vector"])
async def test_cosines(url: str, weights: dict[str, torch.Tensor], name: str) -> None:
    rows = weights["W_dec"].double().numpy()
    direction = rows[FEATURE] if name == "near a feature" else np.ones(128)
    cosines = rows @ direction / np.linalg.norm(rows, axis=1) / np.linalg.norm(direction)
    best = np.argsort(-cosines)[:3]
    neighbours = (await response_to(url, name))["topk_decoder_cossim_features"]
    assert [item["feature"]["index"] for item in neighbours] == best.tolist()
    assert [item["cosine_similarity"] for item in neighbours] == pytest.approx(cosines[best].tolist(), abs=1e-5)


@pytest.mark.parametrize("name", REFUSED)
async def test_refused_requests(url: str, tokenize: Tokenize, name: str) -> None:
    path, body, message = REFUSED[name]
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        response = await http.post(f"/v1/{path}", json=body)
    assert response.status_code == 400 and message in response.json()["error"]
    if message == "Text too long: ":
        assert f"{len(tokenize(TOO_LONG))} tokens, max is 100" in response.json()["error"]
