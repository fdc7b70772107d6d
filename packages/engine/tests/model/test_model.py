"""Tokens and their text, chats, models without BOS."""

import copy
import importlib
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from memicos_engine.capture import activations
from memicos_engine.errors import InvalidRequestError
from memicos_engine.generation.decoder import generate
from memicos_engine.generation.generation import Generation, Row, Sampling
from memicos_engine.model.chat import chat_template
from memicos_engine.model.language_model import DEFAULT_MAX_CONTEXT, LanguageModel, load_model, max_context
from memicos_testing.models import plain_model
from memicos_testing.models.model_classes import CASES, write_model
from memicos_testing.models.small_model import without_bos as without_bos_token
from transformers import BloomConfig, KimiLinearConfig, LlamaConfig, MambaConfig, MptConfig


def changed(model: LanguageModel, **attributes: Any) -> LanguageModel:
    tokenizer = copy.deepcopy(model.tokenizer)
    for name, value in attributes.items():
        setattr(tokenizer, name, value)
    return replace(model, tokenizer=tokenizer)


@pytest.fixture(scope="module")
def without_bos(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    folder = without_bos_token(small_folder, tmp_path_factory.mktemp("without-bos"))
    return load_model("without-bos", str(folder))


def test_special_tokens(demo: LanguageModel, small: LanguageModel) -> None:
    ids = demo.token_ids("<|im_start|>user\nHi<|im_end|><repo_name>", prepend_bos=False)
    assert demo.special_mask(ids) == [True, False, False, False, True, True]
    assert demo.decode(ids) == "<|im_start|>user\nHi<|im_end|><repo_name>"
    assert small.special_mask([0, 1, 2, 3, 500]) == [True, True, True, True, False]


def test_tokenizer_properties(demo: LanguageModel, small: LanguageModel, without_bos: LanguageModel) -> None:
    assert demo.has_chat_template and not small.has_chat_template
    assert not demo.tokenizer_prepends_bos and not without_bos.tokenizer_prepends_bos
    assert (demo.eos_token_ids, demo.bos_token_id) == (frozenset([2]), 1)
    prepending = changed(small)
    prepending.tokenizer.__class__ = type("Prepending", (type(small.tokenizer),), {"__call__": _with_bos})
    assert prepending.tokenizer_prepends_bos


def test_eos_is_the_union_of_all_places(demo: LanguageModel, small: LanguageModel) -> None:
    """Generation config, configuration, tokenizer, and the end of turn of the chat template."""
    hf = copy.copy(demo.hf)
    hf.config = copy.deepcopy(demo.hf.config)
    hf.generation_config = copy.deepcopy(demo.hf.generation_config)
    hf.config.eos_token_id = 7
    hf.generation_config.eos_token_id = [8, 9]
    template = "{% for turn in messages %}{{ turn.content }}<file_sep>\n{% endfor %}"
    scattered = replace(changed(demo, eos_token="<repo_name>", chat_template=template), hf=hf)
    names = ("<repo_name>", "<file_sep>")
    added: Any = demo.tokenizer.convert_tokens_to_ids(list(names))
    assert scattered.eos_token_ids == {7, 8, 9, *added}
    refusing = changed(small, chat_template="{{ raise_exception('no') }}")
    assert refusing.eos_token_ids == small.eos_token_ids == {3}


def test_a_token_without_an_embedding_row_is_refused(small: LanguageModel) -> None:
    tokenizer = copy.deepcopy(small.tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": ["[PAD]"]})
    padded = replace(small, tokenizer=tokenizer)
    assert padded.tokens_without_embedding == {"[PAD]": 1024} and small.tokens_without_embedding == {}
    with pytest.raises(InvalidRequestError, match=r"The token '\[PAD\]' \(id 1024\) has no embedding row"):
        padded.token_ids("Alice [PAD] sat", prepend_bos=True)
    with pytest.raises(InvalidRequestError, match="has no embedding row"):
        chat_template.chat_token_ids(padded, [{"role": "user", "content": "Hi [PAD]"}])


def test_context_of_configurations_without_max_position_embeddings() -> None:
    assert max_context(BloomConfig.from_dict({"seq_length": 4096})) == 4096
    assert max_context(MptConfig(max_seq_len=512)) == 512
    # stated as model_max_length, which its class maps
    assert max_context(KimiLinearConfig.from_dict({"model_max_length": 4096})) == 4096
    assert max_context(MambaConfig()) == DEFAULT_MAX_CONTEXT
    assert max_context(LlamaConfig(max_position_embeddings=64)) == 64


def _with_bos(tokenizer: Any, text: str, **_: Any) -> dict[str, list[int]]:
    return {"input_ids": [tokenizer.bos_token_id, *tokenizer.encode(text, add_special_tokens=False)]}


def test_a_model_without_bos_works_everywhere(
    without_bos: LanguageModel, small: LanguageModel, small_plain: Any, make_sae: Any
) -> None:
    assert without_bos.bos_token_id is None
    ids = without_bos.token_ids("Alice was beginning", prepend_bos=True)
    assert ids == small.token_ids("Alice was beginning", prepend_bos=False)
    folder, source = make_sae(1)  # the recipe prepends BOS and ignores it; this model has none, so position 0 counts
    values, near_threshold = plain_model.encode(folder, plain_model.residuals(small_plain, ids, [1])[1])
    result = activations.feature_activations(without_bos, source, [ids], 3, ignore_bos=True)[0]
    assert result.values == pytest.approx(values[:, 3].tolist(), rel=1e-3, abs=1e-3) and not near_threshold[:, 3].any()
    assert result.ignored == []
    assert activations.top_features(without_bos, [source], [ids], 5)[0].features
    assert activations.sparse_activations(without_bos, source, [ids, ids[:1]], 1000)[1].ignored == []
    assert activations.vector_activations(without_bos, "blocks.1.hook_resid_post", [1.0] * 128, [ids])[0].values
    assert chat_template.chat_token_ids(without_bos, [{"role": "user", "content": "Hello"}])
    writing = Generation(without_bos, [Row(ids)], 3, Sampling(), 10**9)
    generate(without_bos, writing)
    assert len(writing.ids[0]) == 3 and without_bos.special_mask(ids) == [False] * len(ids)


def test_chats_are_rendered_with_the_template(demo: LanguageModel) -> None:
    ids = chat_template.chat_token_ids(
        demo,
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Yes?"},
            {"role": "user", "content": "Bye <|im_end|>"},
        ],
    )
    assert demo.decode(ids) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nYes?<|im_end|>\n<|im_start|>user\nBye <|im_end|><|im_end|>\n<|im_start|>assistant\n"
    )
    assert ids[0] == 1 and ids.count(1) == 5  # no BOS in addition to the template's own


def test_chats_without_a_template_are_chatml(demo: LanguageModel) -> None:
    without_template = changed(demo, chat_template=None)
    assert not without_template.has_chat_template
    ids = chat_template.chat_token_ids(without_template, [{"role": "user", "content": "Hello, world!"}])
    assert demo.decode(ids) == "<|im_start|>user\nHello, world!<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('Conversation roles must alternate user/assistant') }}",
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system turn: roles must alternate') }}{% endif %}",
    ],
)
def test_messages_that_the_template_refuses(demo: LanguageModel, template: str) -> None:
    strict = changed(demo, chat_template=template)
    with pytest.raises(InvalidRequestError, match="roles must alternate"):
        chat_template.chat_token_ids(strict, [{"role": "system", "content": "Hi"}])


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_the_bridge_of_a_multimodal_model_installs_nothing(
    small_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installer: str
) -> None:
    """TransformerLens runs `uv pip install torchvision`, or pip, where it cannot load a processor of images."""
    commands: list[object] = []

    class Refused:
        def __init__(self, command: object, *_args: object, **_options: object) -> None:
            commands.append(command)
            raise OSError("no processes in this test")

    # files for images are missing, as torchvision may be
    model = load_model("multimodal", str(write_model(tmp_path / "multimodal", CASES["gemma3"], small_folder)))
    processor = importlib.import_module("transformers").AutoProcessor
    monkeypatch.setattr(subprocess, "Popen", Refused)
    monkeypatch.setattr(shutil, "which", lambda _name: "/usr/bin/uv" if installer == "uv" else None)
    assert "hook_embed" in model.bridge.hook_dict and model.bridge.cfg.is_multimodal
    assert commands == []
    assert importlib.import_module("transformers").AutoProcessor is processor


def test_the_bridge_shares_weights_and_does_not_change_the_module(small: LanguageModel, small_plain: Any) -> None:
    pointers = {parameter.data_ptr() for parameter in small.hf.parameters()}
    assert pointers <= {parameter.data_ptr() for parameter in small.bridge.parameters()}
    plain_weights = small_plain.state_dict()
    assert all(torch.equal(value, plain_weights[name]) for name, value in small.hf.state_dict().items())
