"""Shares of each feature's weight by words, classes and positions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import sparse

from memicos_pipeline.token_statistics.classes import Classes
from memicos_pipeline.token_statistics.events import MAX_EVENTS, Events, class_shares, strongest_events, top_shares
from memicos_pipeline.token_statistics.text import DIGITS, Text

SOON_TOKENS = 16
"""Number of tokens within which a word counts as soon after another."""
FIRST_TOKENS_ONLY_SHARE = 0.75
"""A feature with at least this share on first tokens of contexts (after BOS) is described by these alone."""

Shares = list[tuple[int, float]]
"""Numbers of words, tokens or others with their shares of a feature's weight, largest first."""


@dataclass(frozen=True)
class Corpus:
    """Words of a corpus, their classes, and the collection of each context; the same for all sources."""

    text: Text
    classes: Classes
    collections: np.ndarray
    collection_names: list[str]
    width: int

    @cached_property
    def next_tokens(self) -> np.ndarray:
        """(P,) id of the token after each position in its context, -1 at the end."""
        following = np.append(self.text.tokens[1:], -1)
        following[self.width - 1 :: self.width] = -1
        return following

    @cached_property
    def usual_forms(self) -> np.ndarray:
        """(keys,) the most frequent spelling of each word, as a number into Text.forms."""
        counts = np.bincount(self.text.words, minlength=len(self.text.forms))
        keys = np.empty(len(self.text.forms), dtype=np.int64)
        keys[self.text.words] = self.text.folded
        usual = np.empty(len(self.text.keys), dtype=np.int64)
        order = np.argsort(counts, kind="stable")
        usual[keys[order]] = order
        return usual

    @cached_property
    def soon_after(self) -> np.ndarray:
        """(P, C) bool: whether a word of the class is among the SOON tokens before, in the same context."""
        soon = np.zeros_like(self.classes.members)
        for column in range(soon.shape[1]):
            flags = self.classes.members[:, column].reshape(-1, self.width)
            sums = np.pad(np.cumsum(flags, axis=1, dtype=np.int32), ((0, 0), (SOON_TOKENS + 1, 0)))
            soon[:, column] = (sums[:, SOON_TOKENS:-1] > sums[:, : -SOON_TOKENS - 1]).reshape(-1)
        return soon


@dataclass(frozen=True)
class FeatureShares:
    """Shares of one feature's weight.

    `active` is the number of its activations. `first` is the share on first tokens of contexts; these are excluded from
    the other shares if it is below FIRST_ALONE.

    `words`, `before` and `after` are numbers of Text.keys, `stems` of Text.stems, `forms` of Text.forms; `strongest`
    are forms of different stems, strongest activation first. `tokens`, `next_tokens` and `promoted` are token ids.
    `digit_places` are word length * 64 + index in the word. `classes`, `class_before` and `soon_after` are (C,) shares,
    `parts` (4,) shares.
    """

    active: int
    first: float
    strongest: list[int]
    words: Shares
    stems: Shares
    forms: Shares
    tokens: Shares
    before: Shares
    after: Shares
    next_tokens: Shares
    digit_places: Shares
    collections: Shares
    parts: np.ndarray
    classes: np.ndarray
    class_before: np.ndarray
    soon_after: np.ndarray
    code: float
    promoted: Sequence[int]


@dataclass(frozen=True)
class CorpusShares:
    """The same shares over all counted tokens of the corpus, as a baseline."""

    words: np.ndarray
    tokens: np.ndarray
    classes: np.ndarray
    soon_after: np.ndarray
    code: float
    collections: np.ndarray
    in_class: np.ndarray = field(repr=False)
    """(forms, C) bool: the classes that a spelling belongs to somewhere in the corpus."""


def feature_shares(matrix: sparse.csc_matrix, corpus: Corpus, promoted: Sequence[Sequence[int]]) -> list[FeatureShares]:
    """The shares of every feature of `matrix` (N * T, F); `promoted` has the tokens with its largest logit effects."""
    text, classes = corpus.text, corpus.classes
    events = strongest_events(matrix, corpus.width)
    at_first_token = events.positions % corpus.width == 1
    first = class_shares(
        events, np.ones((len(text.tokens), 1), dtype=bool), np.where(at_first_token, events.positions, -1)
    )
    first = first[:, 0]
    # the first token of a window is arbitrary; it counts only if the feature is about first tokens
    events = events.without(at_first_token & (first < FIRST_TOKENS_ONLY_SHARE)[events.features])
    positions = events.positions
    before_at, after_at = text.before[positions], text.after[positions]
    size = np.where(text.kinds[positions] == DIGITS, text.ends[positions] - text.starts[positions], 0)
    digit_place = size * 64 + np.where(size > 0, np.minimum(positions - text.starts[positions], 63), 0)
    columns = zip(
        matrix.getnnz(axis=0).tolist(),
        first.tolist(),
        _strongest(events, text),
        top_shares(events, text.folded[positions], MAX_EVENTS),
        top_shares(events, text.stem_of[text.folded[positions]], 4),
        top_shares(events, text.words[positions], 16),
        top_shares(events, text.tokens[positions], 4),
        top_shares(events, np.where(before_at >= 0, text.folded[before_at], -1), 2),
        top_shares(events, np.where(after_at >= 0, text.folded[after_at], -1), 2),
        top_shares(events, corpus.next_tokens[positions], 8),
        top_shares(events, digit_place, 1),
        top_shares(events, corpus.collections[positions // corpus.width], 1),
        class_shares(events, np.eye(4, dtype=bool)[text.parts], positions),
        class_shares(events, classes.members, positions),
        class_shares(events, classes.members, before_at),
        class_shares(events, corpus.soon_after, positions),
        class_shares(events, classes.code[:, None], positions)[:, 0].tolist(),
        promoted,
        strict=True,
    )
    return [FeatureShares(*column) for column in columns]


def _strongest(events: Events, text: Text, count: int = 4) -> list[list[int]]:
    """For each feature, spellings of the first `count` different stems, strongest activation first."""
    forms = text.words[events.positions]
    stems = text.stem_of[text.folded[events.positions]]
    spellings = []
    for first, end in zip(events.offsets[:-1].tolist(), events.offsets[1:].tolist(), strict=True):
        form_of_stem = dict(zip(stems[first:end][::-1].tolist(), forms[first:end][::-1].tolist(), strict=True))
        order = dict.fromkeys(stems[first:end].tolist())
        spellings.append([form_of_stem[stem] for stem in order][:count])
    return spellings


def corpus_shares(corpus: Corpus, counted: np.ndarray) -> CorpusShares:
    """Shares over the positions that `counted` (P,) marks."""
    text, classes = corpus.text, corpus.classes
    total = max(int(counted.sum()), 1)
    in_class = np.zeros((len(text.forms), len(classes.labels)), dtype=bool)
    for column in range(len(classes.labels)):
        in_class[text.words[classes.members[:, column]], column] = True
    kinds = np.repeat(corpus.collections, corpus.width)[counted]
    return CorpusShares(
        np.bincount(text.folded[counted], minlength=len(text.keys)) / total,
        np.bincount(text.tokens[counted], minlength=len(text.strings)) / total,
        classes.members[counted].mean(axis=0),
        corpus.soon_after[counted].mean(axis=0),
        float(classes.code[counted].mean()),
        np.bincount(kinds[kinds >= 0], minlength=len(corpus.collection_names)) / total,
        in_class,
    )
