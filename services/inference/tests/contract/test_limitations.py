"""Limitations that the capabilities list: of sources, attribution, BOS and chats."""

from pathlib import Path
from typing import Any

import httpx
from memicos_testing.models.small_model import random_sae, without_bos
from memicos_testing.servers import Serve

DFA = "give dfa_values, dfa_max_value and dfa_target_index"
ATTRIBUTED = {"single", "single-batch", "all", "all-batch"}


async def limits(url: str) -> list[dict[str, str]]:
    async with httpx.AsyncClient(base_url=url) as http:
        capabilities = (await http.get("/v1/capabilities")).json()
    assert {limitation["endpoint"] for limitation in capabilities["limitations"]} <= set(capabilities["endpoints"])
    return capabilities["limitations"]


def about(limitations: list[dict[str, str]], text: str) -> dict[str, str]:
    """Reasons by endpoint (the last part of its path), for limitations whose text contains `text`."""
    return {
        limitation["endpoint"].rpartition("/")[2]: limitation["why"]
        for limitation in limitations
        if text in limitation["cannot"]
    }


async def test_residual_sources_without_a_template(url: str) -> None:
    limitations = await limits(url)
    assert about(limitations, DFA).keys() == ATTRIBUTED
    assert "a source that reads attention heads (attn.hook_z)" in about(limitations, DFA)["single"]
    assert about(limitations, "it is ChatML").keys() == {"apply-chat-template", "completion-chat"}
    assert len(about(limitations, "take messages")) == 8
    assert about(limitations, "is_assistant_axis").keys() == {"completion-chat"}
    assert about(limitations, "BOS") == about(limitations, "take features") == {}
    assert about(limitations, "add or remove sources").keys() == {"sources"}


async def test_attention_sources(serve: Serve, tmp_path: Path) -> None:
    random_sae(tmp_path / "1-mixed", "blocks.1.attn.hook_z", 128, 20)
    options = {"sae_folder": tmp_path, "sae_sets": ("mixed",)}
    assert about(await limits(await serve(**options)), DFA) == {}
    random_sae(tmp_path / "2-mixed", "blocks.2.hook_resid_post", 128, 20)
    by_endpoint = about(await limits(await serve(**options, max_loaded_saes=1)), DFA)
    assert by_endpoint.keys() == ATTRIBUTED and by_endpoint["all"].endswith(": 1-mixed")
    by_endpoint = await limits(await serve(**options, max_loaded_saes=1))
    assert about(by_endpoint, "take more than 1 source at a time").keys() == {"all", "all-batch"}


async def test_without_sources(serve: Serve) -> None:
    limitations = await limits(await serve(sae_sets=()))
    assert "topk-by-token" in about(limitations, "answer") and about(limitations, DFA) == {}
    assert about(limitations, "take features").keys() == {"single", "single-batch", "completion", "completion-chat"}


async def test_without_bos(serve: Serve, model_folder: Path, tmp_path: Path) -> None:
    url = await serve(custom_hf_model_id=str(without_bos(model_folder, tmp_path)))
    by_endpoint = about(await limits(url), "prepend BOS")
    assert {"tokenize", "raw", "single", "source", "completion"} <= by_endpoint.keys()
    assert by_endpoint["tokenize"] == "the tokenizer has none"


async def test_a_tokenizer_without_offsets(serve: Serve, monkeypatch: Any) -> None:
    from transformers import PreTrainedTokenizerFast

    monkeypatch.setattr(PreTrainedTokenizerFast, "is_fast", False)
    url = await serve(sae_sets=())
    assert "gives no character offsets" in about(await limits(url), "answer")["apply-chat-template"]
    async with httpx.AsyncClient(base_url=url) as http:
        body = {"messages": [{"role": "user", "content": "Hello"}]}
        response = await http.post("/v1/apply-chat-template", json=body)
    assert response.status_code == 400 and "gives no character offsets" in response.json()["error"]
