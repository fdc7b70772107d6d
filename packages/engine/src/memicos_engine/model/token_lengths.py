"""The largest number of characters that one token stands for: a bound on texts before they are tokenised."""

from typing import Any

from transformers import PreTrainedTokenizerBase

PROBE_CHARACTERS = 2048
PROBES = (" ", "\n", "\t", "a", "\u00e9", "e\u0301", "\u200b", "\U0010fffd")
"""Strings that tokenizers drop, compose or merge into one unknown token when they are repeated."""
MERGED_CHARACTERS = 256
"""Characters per token, at least, where a tokenizer makes one token of a text of any length."""


def characters_per_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """The largest number of characters that a token of `tokenizer` stands for.

    That is the length of its longest token: a token of bytes has at most as many characters as bytes, and the word
    marks of SentencePiece and WordPiece add to it. Some tokenizers make no token, or one, of white space or of an
    unknown word of any length. They are recognised by repeated `PROBES`, and get at least `MERGED_CHARACTERS`.
    """
    longest = max(map(len, tokenizer.get_vocab()), default=1)
    for probe in PROBES:
        text = probe * (PROBE_CHARACTERS // len(probe))
        ids: Any = tokenizer(text, add_special_tokens=False)["input_ids"]
        if len(ids) * longest < len(text):
            return max(longest, MERGED_CHARACTERS)
    return longest
