"""The bound on the characters of a token: for tokens of bytes, and for tokenizers that merge texts of any length."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.model.token_lengths import MERGED_CHARACTERS, characters_per_token
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

TEXTS = (
    "Once upon a time",
    "  \n\n\t" * 40,
    "e\u0301" * 50,
    "\U0001f40b鯨é" * 30,
    "x" * 300,
    "\x00\u200b" * 20,
    "9" * 99,
)


def wordpiece() -> PreTrainedTokenizerFast:
    vocabulary = {"[UNK]": 0, "once": 1, "##upon": 2}
    tokenizer: Any = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")


def unigram() -> PreTrainedTokenizerFast:
    tokenizer: Any = Tokenizer(models.Unigram([("<unk>", 0.0), ("\u2581once", -1.0)], 0, False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" ", "\u2581")])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


@pytest.mark.parametrize("name", ["demo", "small"])
def test_no_text_has_more_characters_per_token(name: str, request: pytest.FixtureRequest) -> None:
    model: LanguageModel = request.getfixturevalue(name)
    bound = model.characters_per_token
    longest = max(model.tokenizer.get_vocab(), key=len)
    assert bound == len(longest) or bound == MERGED_CHARACTERS
    for text in (*TEXTS, model.decode([model.tokenizer.get_vocab()[longest]] * 20)):
        assert len(text) <= bound * max(1, len(model.text_ids(text))), text


@pytest.mark.parametrize("make", [wordpiece, unigram])
def test_tokenizers_that_merge_texts_of_any_length_get_a_wide_bound(make: Any) -> None:
    tokenizer = make()
    assert (
        len(tokenizer("\u9be8" * 1000 if make is unigram else "x" * 1000, add_special_tokens=False)["input_ids"]) == 1
    )
    assert characters_per_token(tokenizer) == MERGED_CHARACTERS


def test_threads_may_tokenise_and_decode_at_the_same_time(demo: LanguageModel) -> None:
    texts = [f"{text} {number}" for number in range(20) for text in TEXTS]
    expected = [demo.text_ids(text) for text in texts]
    decoded = [demo.decode(ids) for ids in expected]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            ids = pool.map(demo.text_ids, texts)
            strings = pool.map(demo.decode, expected)
            assert list(ids) == expected and list(strings) == decoded
