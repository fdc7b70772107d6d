"""Strings of tokens, against the tokenizer's own decoding of whole and partial sequences."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memicos_engine.model.token_strings import sequence_strings, single_strings
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

CORPUS = [
    "Once upon a time there was a small town by the sea, and people sold bread and fish.",
    "The black cat sat on the mat. It isn't tired!  Two spaces.",
    "今日は天気がいいですね。café naïve",
]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
SPECIAL = ["<unk>", "<s>", "</s>"]


def fast(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIAL])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def byte_level_bpe() -> PreTrainedTokenizerFast:
    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    latin = CORPUS[:2]  # no merges of the bytes of other scripts
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(latin, trainer)
    return fast(tokenizer)


def sentencepiece_bpe() -> PreTrainedTokenizerFast:
    """As Llama 2: "▁" for spaces, byte fallback, and a decoder that strips the first space of a text."""
    trained: Any = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=SPECIAL, limit_alphabet=45, show_progress=False)
    trained.train_from_iterator(CORPUS, trainer)
    vocabulary = {name: i for i, name in enumerate([*SPECIAL, *BYTES])}
    for name in sorted(trained.get_vocab(), key=trained.get_vocab().get):
        vocabulary.setdefault(name, len(vocabulary))
    merges = [
        (first, name[len(first) :])
        for name in vocabulary
        if name not in SPECIAL and name not in BYTES
        for first in (name[:size] for size in range(1, len(name)))
        if first in vocabulary and name[len(first) :] in vocabulary
    ]
    bpe = models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    tokenizer: Any = Tokenizer(bpe)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    return fast(tokenizer)


def unigram() -> PreTrainedTokenizerFast:
    tokenizer: Any = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(CORPUS * 5, trainer)
    return fast(tokenizer)


def wordpiece() -> PreTrainedTokenizerFast:
    tokenizer: Any = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(
        CORPUS, trainers.WordPieceTrainer(vocab_size=150, special_tokens=SPECIAL, show_progress=False)
    )
    return fast(tokenizer)


KINDS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    function.__name__: function for function in (byte_level_bpe, sentencepiece_bpe, unigram, wordpiece)
}


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    return KINDS[request.param]()


SPACES = (" ", "  ", "\n", "\n\n", "\t", "\r\n", "\u2028")
WORDS = ("the", " the", "Once", "cat", ".", ",", " isn't", "x", "1,000", "<s>")
SCRIPTS = ("今日", "は", "한국어", "🐋", "\U0001f469\u200d\U0001f467", "e\u0301", "\u0301", "é", "नि", "\ufffd")
FRAGMENTS = st.sampled_from((*SPACES, *WORDS, *SCRIPTS))
TEXTS = st.lists(FRAGMENTS | st.characters(exclude_categories=["Cs"]), max_size=60).map("".join)
PROFILE = settings(max_examples=150, deadline=None)


def decode(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> str:
    text: Any = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return text


def by_whole_prefixes(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> list[str]:
    """Each token's string from the decoded text of the whole sequence up to it."""
    text = decode(tokenizer, ids)
    ends = [0]
    for count in range(1, len(ids)):
        prefix = decode(tokenizer, ids[:count]).rstrip("\ufffd")
        common = next((i for i, (a, b) in enumerate(zip(prefix, text, strict=False)) if a != b), len(prefix))
        ends.append(max(ends[-1], common))
    ends.append(len(text))
    return [text[start:end] for start, end in pairwise(ends)]


@PROFILE
@given(text=TEXTS, bos=st.booleans())
def test_strings_of_a_text_join_to_its_decoded_text(tokenizer: PreTrainedTokenizerFast, text: str, bos: bool) -> None:
    ids: Any = tokenizer(text, add_special_tokens=False)["input_ids"]
    ids = [1, *ids] if bos else ids
    strings = sequence_strings(tokenizer, ids)
    assert len(strings) == len(ids) and "".join(strings) == decode(tokenizer, ids)
    if ids and "\ufffd" not in text:
        assert strings == by_whole_prefixes(tokenizer, ids)


@PROFILE
@given(data=st.data())
def test_strings_of_any_tokens_join_to_their_decoded_text(
    tokenizer: PreTrainedTokenizerFast, data: st.DataObject
) -> None:
    """Tokens at random have broken characters, bytes that are none, and special tokens in the middle."""
    ids = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=60))
    assert "".join(sequence_strings(tokenizer, ids)) == decode(tokenizer, ids)


@PROFILE
@given(data=st.data())
def test_a_single_token_reads_as_inside_a_text(tokenizer: PreTrainedTokenizerFast, data: st.DataObject) -> None:
    token = data.draw(st.integers(0, len(tokenizer) - 1))
    (string,) = single_strings(tokenizer, [token])
    before: Any = tokenizer("cat", add_special_tokens=False)["input_ids"]
    decoded_pair = decode(tokenizer, [*before, token])
    if "\ufffd" not in decoded_pair:
        assert decoded_pair == decode(tokenizer, before) + string
    else:
        assert "\ufffd" not in string


def test_spaces_of_a_sentencepiece_text_are_kept() -> None:
    tokenizer = sentencepiece_bpe()
    ids: Any = tokenizer("The black cat  sat on the mat.", add_special_tokens=False)["input_ids"]
    assert "".join(sequence_strings(tokenizer, ids)) == "The black cat  sat on the mat."
    assert "".join(sequence_strings(tokenizer, [1, *ids])) == "<s> The black cat  sat on the mat."
    assert "".join(single_strings(tokenizer, ids)) == " The black cat  sat on the mat."


@pytest.mark.parametrize("kind", [byte_level_bpe, sentencepiece_bpe])
@pytest.mark.parametrize("text", ["鯨", "한", "🐋", "\u0301"])
def test_a_character_stands_at_the_token_that_completes_it(
    kind: Callable[[], PreTrainedTokenizerFast], text: str
) -> None:
    tokenizer = kind()
    ids: Any = tokenizer(f"cat{text}cat", add_special_tokens=False)["input_ids"]
    cat: Any = tokenizer("cat", add_special_tokens=False)["input_ids"]
    count = len(text.encode())
    strings = sequence_strings(tokenizer, ids)
    first = strings.index(text) - count + 1
    assert strings[first : first + count] == [""] * (count - 1) + [text] and len(ids) >= count + len(cat)
    assert single_strings(tokenizer, ids[first : first + count]) == [f"<0x{byte:02X}>" for byte in text.encode()]


@pytest.mark.parametrize("text", ["鯨" * 400, "\ufffd" * 400, "a鯨 \n" * 200])
def test_a_long_text_takes_time_by_its_length(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = sentencepiece_bpe()
    ids: Any = tokenizer(text, add_special_tokens=False)["input_ids"]
    decoded = 0
    real = tokenizer.batch_decode

    def batch_decode(sequences: list[list[int]], **options: Any) -> list[str]:
        nonlocal decoded
        decoded += sum(map(len, sequences))
        return real(sequences, **options)  # pyright: ignore[reportReturnType]

    monkeypatch.setattr(tokenizer, "batch_decode", batch_decode)
    assert "".join(sequence_strings(tokenizer, ids)) == text
    assert decoded < 100 * len(ids)
