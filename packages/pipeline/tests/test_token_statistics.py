"""Token statistics: digits that are not decimal numbers, and the wording of promoted tokens."""

import unicodedata

import numpy as np
import pytest
from memicos_pipeline import token_statistics
from memicos_pipeline.token_statistics.feature_shares import Corpus
from scipy import sparse

DIGITS_WITHOUT_VALUE = "²³¹①⒈፩𐩀"
"""Characters for which str.isdigit() holds and int() fails."""
TOKENS = ["<bos>", " March", " 4", " ٣", " 1861", " ١٨٦١", *(f" {digit}" for digit in DIGITS_WITHOUT_VALUE), " ½", " x"]


def small_corpus() -> Corpus:
    return token_statistics.read_corpus(np.arange(len(TOKENS))[None], TOKENS, ["book"])


def test_the_characters_are_of_that_kind() -> None:
    for character in DIGITS_WITHOUT_VALUE:
        assert character.isdigit()
        with pytest.raises(ValueError):
            int(character)
        assert unicodedata.digit(character) is not None


def test_only_decimal_numbers_are_years_and_days() -> None:
    corpus = small_corpus()
    members = {
        label: {TOKENS[i].strip() for i in np.flatnonzero(corpus.classes.members[:, column])}
        for column, label in enumerate(corpus.classes.labels)
    }
    assert members["numbers: years"] == {"1861", "١٨٦١"}
    # after the month's name
    assert members["dates: days of the month"] == {"4"}


def test_features_on_such_characters_are_explained() -> None:
    count = len(TOKENS)
    matrix = sparse.csc_matrix(np.eye(count, dtype=np.float32) * (np.arange(count) > 0))
    texts = token_statistics.explain_source([matrix], np.arange(count) > 0, small_corpus(), [[1]] * count)
    assert texts[0] == ""
    for token, text in zip(TOKENS[1:], texts[1:], strict=True):
        assert text == f"active only once, on '{token.strip()}'"


@pytest.mark.parametrize(
    ("promoted", "wording"),
    [(" been", "promotes 'been'"), ("ing", "promotes '-ing'"), ("Been", "promotes 'Been'")],
)
def test_promoted_tokens_are_quoted_without_blanks(promoted: str, wording: str) -> None:
    strings = ["<bos>", " have", promoted, *(f" word{chr(97 + i)}" for i in range(20))]
    # a feature on " have", which the promoted token follows each time
    row = [0, *(number for i in range(20) for number in (1, 2, 3 + i))]
    corpus = token_statistics.read_corpus(np.array([row]), strings, ["book"])
    values = np.array(row)[:, None] == np.array([[1]])
    matrix = sparse.csc_matrix(values.astype(np.float32))
    (text,) = token_statistics.explain_source([matrix], np.arange(len(row)) > 0, corpus, [[2]])
    assert text.endswith(f"; {wording}"), text
