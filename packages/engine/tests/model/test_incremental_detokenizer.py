"""Text decoded piece by piece equals the text decoded at once, and the time of a piece is constant."""

import copy
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import pytest
from memicos_engine.generation.incremental_detokenizer import IncrementalDetokenizer
from memicos_engine.model.language_model import LanguageModel
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

WRITTEN = "The whale, 鯨, said: \u201cça va?\u201d \U0001f40b\U0001f3fd\n\n  def f(x):  return x\ufffd!"


def pieces(model: LanguageModel, prefix: Sequence[int], ids: Sequence[int]) -> list[str]:
    """The text of each of `ids`, added one by one."""
    text = IncrementalDetokenizer(model, prefix)
    return [text.add([token], ended=i == len(ids) - 1) for i, token in enumerate(ids)]


def at_once(model: LanguageModel, prefix: Sequence[int], ids: Sequence[int]) -> str:
    return IncrementalDetokenizer(model, prefix).add(ids, ended=True)


def read_on(model: LanguageModel, prefix: Sequence[int], ids: Sequence[int]) -> str:
    """The tokenizer's own decoding of all tokens, minus that of the prefix; byte tokens are decoded by Python.

    From the first invalid byte of a run of byte tokens on each byte is U+FFFD; the characters before it stay.
    """
    text = ""
    for is_byte, run in groupby(ids, key=lambda token: str(model.tokenizer.convert_ids_to_tokens(token))[:3] == "<0x"):
        tokens = list(run)
        if not is_byte:
            text += model.decode([*prefix, *tokens]).removeprefix(model.decode(prefix))
            continue
        raw = bytes(int(str(model.tokenizer.convert_ids_to_tokens(token))[3:5], 16) for token in tokens)
        try:
            text += raw.decode()
        except UnicodeDecodeError as error:
            text += raw[: error.start].decode() + "\ufffd" * (len(raw) - error.start)
    return text


def with_tokenizer(model: LanguageModel, tokenizer: Any) -> LanguageModel:
    return replace(model, tokenizer=tokenizer)


@pytest.fixture(scope="module")
def bytewise(small: LanguageModel) -> LanguageModel:
    """A tokenizer like SentencePiece's: characters outside its vocabulary are tokens of single bytes."""
    vocabulary = ["<unk>", "\u2581", "\u2581a", "b", "\u2581cat", "ç", "\ufffd", *(f"<0x{i:02X}>" for i in range(256))]
    bpe = models.BPE({word: i for i, word in enumerate(vocabulary)}, [], unk_token="<unk>", byte_fallback=True)
    tokenizer = Tokenizer(bpe)
    steps = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)  # pyright: ignore[reportAttributeAccessIssue]
    return with_tokenizer(small, PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>"))


def test_pieces_joined_are_the_text(demo: LanguageModel) -> None:
    ids = demo.token_ids(WRITTEN, prepend_bos=False)
    assert demo.decode(ids) == WRITTEN
    assert "" in demo.token_strings(ids)  # some tokens are parts of characters
    joined_pieces = pieces(demo, demo.token_ids("Once", prepend_bos=True), ids)
    assert "".join(joined_pieces) == WRITTEN and all(
        "\ufffd" not in item.replace("\ufffd!", "") for item in joined_pieces
    )


def test_an_incomplete_character_is_returned_at_the_end(demo: LanguageModel) -> None:
    ids = demo.token_ids("x\U0001f40b", prepend_bos=False)
    assert len(ids) > 2
    text = IncrementalDetokenizer(demo, [1])
    assert "".join(text.add([token], ended=False) for token in ids[:-1]) == "x"
    assert text.add([], ended=True) == "\ufffd" and text.add([], ended=True) == ""


def test_a_character_cut_between_prefix_and_text(demo: LanguageModel) -> None:
    ids = demo.token_ids("x\U0001f40b!", prepend_bos=False)
    assert at_once(demo, ids[:2], ids[2:]) == "".join(pieces(demo, ids[:2], ids[2:])) == "\U0001f40b!"


def test_the_space_at_the_start_is_kept(small: LanguageModel) -> None:
    """Decoders like SentencePiece's drop the first space of a text."""
    tokenizer: Any = copy.deepcopy(small.tokenizer)
    steps = [decoders.Replace("\u2581", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.backend_tokenizer.decoder = decoders.Sequence(steps)
    dropping = with_tokenizer(small, tokenizer)
    ids = small.token_ids("Alice was beginning", prepend_bos=True)
    word_ids = small.token_ids(" to get very tired", prepend_bos=False)
    assert dropping.decode(word_ids) == "to get very tired"
    assert "".join(pieces(dropping, ids, word_ids)) == at_once(dropping, ids, word_ids) == " to get very tired"


def test_a_character_of_byte_tokens_comes_with_the_token_that_completes_it(bytewise: LanguageModel) -> None:
    """The first byte of the second whale must not change the first whale."""
    whales = bytewise.token_ids("\U0001f40b\U0001f40b", prepend_bos=False)
    assert len(whales) == 8 and bytewise.decode(whales[:5]) == "\ufffd" * 5
    b, cat = bytewise.token_ids("b", False), bytewise.tokenizer.convert_tokens_to_ids("\u2581cat")
    assert isinstance(cat, int)
    whale = ["", "", "", "\U0001f40b"]
    assert pieces(bytewise, b, [*whales, cat]) == [*whale, *whale, " cat"]
    assert pieces(bytewise, b, [*whales[:5], cat]) == [*whale, "", "\ufffd cat"]
    # also where the text before ends in byte tokens
    assert pieces(bytewise, whales, [*whales, cat]) == [*whale, *whale, " cat"]
    assert pieces(bytewise, whales, [*whales[:5], cat]) == [*whale, "", "\ufffd cat"]
    assert pieces(bytewise, whales, [whales[0], cat]) == ["", "\ufffd cat"]


def test_a_long_run_of_byte_tokens(bytewise: LanguageModel) -> None:
    """Longer than the context that tokens are decoded with."""
    written = (
        "\u4eca\u65e5\u306f\u5929\u6c17\u304c\u3044\u3044\u3067\u3059\u306d\u3002e\u0301\U0001f468\u200d\U0001f469" * 3
    )
    names = [f"<0x{byte:02X}>" for byte in written.encode()]
    ids: Any = bytewise.tokenizer.convert_tokens_to_ids(names)
    ends = [piece for character in written for piece in [*[""] * (len(character.encode()) - 1), character]]
    assert pieces(bytewise, bytewise.token_ids("b", False), ids) == ends


@pytest.mark.parametrize("name", ["demo", "small", "bytewise"])
def test_pieces_of_random_tokens_joined_are_the_whole_text(name: str, request: pytest.FixtureRequest) -> None:
    """Random tokens: incomplete characters, invalid bytes, special tokens."""
    model: LanguageModel = request.getfixturevalue(name)
    random_ids, count = random.Random(5), len(model.tokenizer)
    broken = [i for i in range(count) if "\ufffd" in model.decode([i])]
    for _ in range(150):
        candidate_ids = broken if broken and random_ids.random() < 0.5 else range(count)
        ids = [random_ids.choice(random_ids.choice([candidate_ids, range(count)])) for _ in range(60)]
        prefix = model.token_ids("b" if name == "bytewise" else "Once upon", prepend_bos=False)
        joined_pieces = pieces(model, prefix, ids)
        assert "".join(joined_pieces) == at_once(model, prefix, ids) == read_on(model, prefix, ids)


def test_time_of_a_piece_does_not_grow_with_the_text(demo: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    real = LanguageModel.decode

    def text(self: LanguageModel, ids: Sequence[int]) -> str:
        decoded.append(len(ids))
        return real(self, ids)

    monkeypatch.setattr(LanguageModel, "decode", text)
    pieces(demo, [1], demo.token_ids("All the world's a stage. " * 100, prepend_bos=False))
    assert len(decoded) > 600 and max(decoded) <= 20
