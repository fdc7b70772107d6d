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
        found = (await http.get("/v1/capabilities")).json()
    assert {one["endpoint"] for one in found["limitations"]} <= set(found["endpoints"])
    return found["limitations"]


def about(found: list[dict[str, str]], words: str) -> dict[str, str]:
    """Endpoints, by the last part of their path, that can't do what `words` say, with the reason."""
    return {one["endpoint"].rpartition("/")[2]: one["why"] for one in found if words in one["cannot"]}


async def test_residual_sources_without_a_template(url: str) -> None:
    found = await limits(url)
    assert about(found, DFA).keys() == ATTRIBUTED
    assert "only a source at attention heads (attn.hook_z)" in about(found, DFA)["single"]
    assert about(found, "it is ChatML").keys() == {"apply-chat-template", "completion-chat"}
    assert about(found, "is_assistant_axis").keys() == {"completion-chat"}
    assert about(found, "BOS") == about(found, "take features") == {}
    assert about(found, "add or remove sources").keys() == {"sources"}


async def test_attention_sources(serve: Serve, tmp_path: Path) -> None:
    random_sae(tmp_path / "1-mixed", "blocks.1.attn.hook_z", 128, 20)
    both = {"sae_folder": tmp_path, "sae_sets": ("mixed",)}
    assert about(await limits(await serve(**both)), DFA) == {}
    random_sae(tmp_path / "2-mixed", "blocks.2.hook_resid_post", 128, 20)
    found = about(await limits(await serve(**both, max_loaded_saes=1)), DFA)
    assert found.keys() == ATTRIBUTED and found["all"].endswith(": 1-mixed")
    found = await limits(await serve(**both, max_loaded_saes=1))
    assert about(found, "more than 1 sources at a time").keys() == {"all", "all-batch"}


async def test_without_sources(serve: Serve) -> None:
    found = await limits(await serve(sae_sets=()))
    assert "topk-by-token" in about(found, "answer") and about(found, DFA) == {}
    assert about(found, "take features").keys() == {"single", "single-batch", "completion", "completion-chat"}


async def test_without_bos(serve: Serve, model_folder: Path, tmp_path: Path) -> None:
    url = await serve(custom_hf_model_id=str(without_bos(model_folder, tmp_path)))
    found = about(await limits(url), "prepend BOS")
    assert {"tokenize", "raw", "single", "source", "completion"} <= found.keys()
    assert found["tokenize"] == "the tokenizer has none"


async def test_a_tokenizer_without_offsets(serve: Serve, monkeypatch: Any) -> None:
    from transformers import PreTrainedTokenizerFast

    monkeypatch.setattr(PreTrainedTokenizerFast, "is_fast", False)
    url = await serve(sae_sets=())
    assert "gives no character offsets" in about(await limits(url), "answer")["apply-chat-template"]
    async with httpx.AsyncClient(base_url=url) as http:
        body = {"messages": [{"role": "user", "content": "Hello"}]}
        answer = await http.post("/v1/apply-chat-template", json=body)
    assert answer.status_code == 400 and "gives no character offsets" in answer.json()["error"]
