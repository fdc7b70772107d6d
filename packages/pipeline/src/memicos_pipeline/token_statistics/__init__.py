"""Explanations by counting (method `token-statistics`), without a language model.

An explanation describes what a feature's strongest activations have in common: the words that they are on, the class of
these words (lexicon.toml), the words before and after, the collection, and promoted tokens that fit.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from scipy import sparse

from memicos_pipeline.corpus.contexts import PADDING
from memicos_pipeline.token_statistics.classes import find_classes
from memicos_pipeline.token_statistics.describe import Describer
from memicos_pipeline.token_statistics.feature_shares import Corpus, corpus_shares, feature_shares
from memicos_pipeline.token_statistics.text import read_text

METHOD = "token-statistics"


def read_corpus(token_ids: np.ndarray, strings: list[str], collections: Sequence[str]) -> Corpus:
    """Find words and classes of `token_ids` (N, T).

    `strings[id]` is a token alone, as inside a text; `collections` (N,) has the collection of each context.
    """
    width = token_ids.shape[1]
    # a token without text is no word and no neighbour of one
    padded = np.where(token_ids == PADDING, len(strings), token_ids)
    text = read_text(padded, [*strings, ""])
    names = sorted(set(collections))
    numbers = np.array([names.index(name) for name in collections])
    return Corpus(text, find_classes(text, width), numbers, names, width)


def explain_source(
    blocks: Iterable[sparse.csc_matrix],
    counted: np.ndarray,
    corpus: Corpus,
    positive_token_ids: Sequence[Sequence[int]],
    on_features: Callable[[int], None] = lambda count: None,
) -> list[str]:
    """Describe each feature; the description of a feature that is never active is empty.

    Args:
        blocks: activations (N * T, n) of n features at a time, without entries at positions that do not count.
        counted: (N * T,) bool.
        corpus: of the same contexts.
        positive_token_ids: for each feature, the tokens that it promotes most, strongest first.
        on_features: called with the number of features of each block.
    """
    describer = Describer(corpus, corpus_shares(corpus, counted))
    descriptions: list[str] = []
    for matrix in blocks:
        promoted = positive_token_ids[len(descriptions) : len(descriptions) + len(matrix.indptr) - 1]
        on_features(len(promoted))
        descriptions += [describer.describe(feature) for feature in feature_shares(matrix, corpus, promoted)]
    return descriptions
