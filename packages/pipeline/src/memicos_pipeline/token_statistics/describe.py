"""The description of a feature from its shares: its words, the words around them, collection, promoted tokens.

Each part is included only if a fixed share of the weight of the strongest activations supports it.
"""

import re
from collections import Counter, defaultdict

import numpy as np

from memicos_pipeline.token_statistics.feature_shares import (
    FIRST_TOKENS_ONLY_SHARE,
    Corpus,
    CorpusShares,
    FeatureShares,
    Shares,
)
from memicos_pipeline.token_statistics.numbers import digit_head
from memicos_pipeline.token_statistics.text import END, MIDDLE, START
from memicos_pipeline.token_statistics.wording import join_words, mark_name, promoted_word, quoted

MIN_ACTIVATIONS = 5
"""A feature with fewer activations than this is described by its words alone."""
CLASS_SHARE, CLASS_LIFT = 0.65, 3.0
"""A class is named if it has at least this share of the weight, and this many times its share of the corpus."""
CLASS_PURE_SHARE = 0.85
"""From this share on a class is named without "mostly"."""
SINGLE_WORD_SHARE = 0.8
"""One word (with its forms) that has at least this share of the weight is named alone."""
WORD_SHARE, MAX_WORDS = 0.06, 4
"""Otherwise up to MAX_WORDS words are listed that have at least this share each."""
LIST_COVERAGE = 0.5
"""Listed words that have less than this share together are given as examples."""
PIECE_SHARE = 0.7
"""A part of words (a token, the first letters) with at least this share of the weight is named."""
LONGEST_PREFIX = 7
"""Largest number of letters of a common prefix."""
CONTEXT_SHARE, CONTEXT_LIFT = 0.5, 3.0
"""The word before or after is named if it has at least this share, and this many times its usual share."""
FIRST_TOKENS_SHARE = 0.25
"""First tokens of contexts are named if they have at least this share of the weight."""
COLLECTION_SHARE, COLLECTION_LIFT = 0.9, 2.0
"""A collection is named if it has at least this share of the weight, and this many times its usual share."""
NEXT_TOKEN_SHARE = 0.05
"""A promoted token is named if it comes next with at least this share of the weight, or is of the named class."""
MIN_PROMOTED_OF_CLASS = 3
"""From this number on promoted words of one class are named with the class."""

VARIED = "varied words"
CODE = "code"
"""The label of lexicon.toml's class of code, which also names contexts of code."""

_WORD = re.compile(r" ?[A-Za-z]{3,}")


class Describer:
    """Writes descriptions of the features of one source; `base` has the shares over its counted tokens."""

    def __init__(self, corpus: Corpus, base: CorpusShares) -> None:
        self.corpus, self.text, self.classes, self.base = corpus, corpus.text, corpus.classes, base
        self._code = np.array([label == CODE for label in self.classes.labels])
        self._form = {form: number for number, form in enumerate(self.text.forms)}
        self._key = {key: number for number, key in enumerate(self.text.keys)}
        self._prefix_shares: dict[str, float] = defaultdict(float)
        for key, share in zip(self.text.keys, base.words.tolist(), strict=True):
            for size in range(2, min(len(key), LONGEST_PREFIX) + 1):
                self._prefix_shares[key[:size]] += share

    def describe(self, feature: FeatureShares) -> str:
        """The description; empty for a feature that is never active."""
        if feature.active == 0:
            return ""
        if feature.active < MIN_ACTIVATIONS:
            times = "once" if feature.active == 1 else f"{feature.active} times"
            return f"active only {times}, on {join_words(self._word_names(feature.forms))}"
        if feature.first >= FIRST_TOKENS_ONLY_SHARE:
            names = self._word_names([(form, 1.0) for form in feature.strongest])
            return f"first tokens of contexts such as {join_words(names)}"
        best = self._best_class(feature.classes)
        head = self._head(feature, best)
        if feature.first >= FIRST_TOKENS_SHARE:
            head += ", and first tokens of contexts"
        return (
            head
            + self._context_phrase(feature, head)
            + self._collection_phrase(feature, head)
            + self._promoted_phrase(feature, best)
        )

    # --- words it is active on

    def _best_class(self, shares: np.ndarray, base: np.ndarray | None = None) -> int | None:
        """The class to name; classes of meaning come before classes of spelling."""
        classes = self.classes
        base = self.base.classes if base is None else base
        named = (shares >= CLASS_SHARE) & (shares >= CLASS_LIFT * base)
        for candidates in (
            named & ~classes.weak & ~classes.grammar,
            named & ~classes.weak & classes.grammar,
            named & classes.weak,
        ):
            # a group only if none of its classes is named; then the largest share, then the first
            covered = {classes.parents[i] for i in np.flatnonzero(candidates)}
            remaining = [i for i in np.flatnonzero(candidates).tolist() if i not in covered]
            if remaining:
                return max(remaining, key=lambda i: (round(float(shares[i]), 2), -i))
        return None

    def _head(self, feature: FeatureShares, best: int | None) -> str:
        strong = best if best is not None and not self.classes.weak[best] else None
        word, share = feature.words[0]
        key = self.text.keys[word]
        if mark_name(key) and share >= CLASS_SHARE:
            frequent = [self.text.keys[number] for number, part in feature.words[:2] if part >= 0.2]
            return join_words(list(dict.fromkeys(mark_name(key) or quoted(key) for key in frequent)))
        if strong is not None and self.classes.digits[strong]:
            return digit_head(feature, self.text, self._label(feature, strong))
        single_word = self._single_word(feature, strong)
        if single_word:
            return single_word
        if strong is not None and len(words := self._word_names(feature.forms, strong)) > 1:
            return f"{_label_with_colon(self._label(feature, strong))} {join_words(words)}"
        piece = self._shared_token(feature) or self._shared_prefix(feature)
        if piece:
            return piece
        if best is not None and strong is None and len(words := self._word_names(feature.forms, best)) > 1:
            return f"{self._label(feature, best)}: {join_words(words)}"
        return self._word_part(feature) or self._word_list(feature)

    def _label(self, feature: FeatureShares, number: int) -> str:
        label = self.classes.labels[number]
        return label if feature.classes[number] >= CLASS_PURE_SHARE else f"mostly {label}"

    def _single_word(self, feature: FeatureShares, strong: int | None) -> str | None:
        stem, share = feature.stems[0]
        if share < SINGLE_WORD_SHARE:
            return None
        keys = [(word, part) for word, part in feature.words if self.text.stem_of[word] == stem]
        forms = [(form, part) for form, part in feature.forms if self._stem(form) == stem and part >= 0.02]
        key = self.text.keys[keys[0][0]]
        main_form, *further_forms = self._word_names(forms) or [mark_name(key) or quoted(key)]
        clear = strong is not None and not {self.text.keys[word] for word, _ in keys} & self.classes.ambiguous
        if clear and strong is not None:
            return f"{_label_with_colon(self.classes.labels[strong])} {join_words([main_form, *further_forms])}"
        phrase = f"the word {main_form}" if key[:1].isalpha() else main_form
        return f"{phrase}, also {join_words(further_forms)}" if further_forms else phrase

    def _stem(self, form: int) -> int:
        return int(self.text.stem_of[self._key[self.text.forms[form].casefold().replace("’", "'")]])

    def _word_names(self, forms: Shares, of_class: int | None = None) -> list[str]:
        """Names of the words with the largest shares; spellings that differ in case only are listed once."""
        names: dict[str, str] = {}
        for form, share in forms:
            spelled = self.text.forms[form]
            if of_class is not None and not self.base.in_class[form, of_class]:
                continue
            if len(names) >= MAX_WORDS or (len(names) >= 3 and share < WORD_SHARE / 2):
                break
            names.setdefault(spelled.casefold().replace("’", "'"), mark_name(spelled) or quoted(spelled))
        return list(dict.fromkeys(names.values()))

    def _shared_token(self, feature: FeatureShares) -> str | None:
        """A description by one token that is a part of different words."""
        token, share = feature.tokens[0]
        inside = feature.parts[[START, MIDDLE, END]].sum()
        if share < PIECE_SHARE or inside < PIECE_SHARE:
            return None
        piece = self.text.strings[token].strip()
        words = join_words(self._word_names(feature.forms))
        if feature.parts[START] >= PIECE_SHARE:
            return f"words starting with '{piece}-': {words}"
        if feature.parts[END] >= PIECE_SHARE:
            return f"words ending in '-{piece}': {words}"
        return f"the piece '-{piece}-' inside words: {words}"

    def _shared_prefix(self, feature: FeatureShares) -> str | None:
        """A description by a prefix that different words share."""
        shares: dict[str, float] = defaultdict(float)
        words: Counter[str] = Counter()
        for word, share in feature.words:
            key = self.text.keys[word]
            for size in range(2, min(len(key), LONGEST_PREFIX) + 1):
                if key[:size].isalpha():
                    shares[key[:size]] += share
                    words[key[:size]] += 1
        prefixes = [
            prefix
            for prefix, share in shares.items()
            if share >= CLASS_SHARE and words[prefix] >= 3 and share >= CLASS_LIFT * self._prefix_shares[prefix]
        ]
        if not prefixes:
            return None
        prefix = max(prefixes, key=lambda prefix: (len(prefix), shares[prefix]))
        forms = [item for item in feature.forms if self.text.forms[item[0]].casefold().startswith(prefix)]
        mostly = "mostly " if shares[prefix] < CLASS_PURE_SHARE else ""
        return f"{mostly}words starting with '{prefix}-': {join_words(self._word_names(forms))}"

    def _word_part(self, feature: FeatureShares) -> str | None:
        pieces = [quoted(self.text.strings[t].strip()) for t, part in feature.tokens[:3] if part >= WORD_SHARE]
        pieces = list(dict.fromkeys(pieces))
        for part, name in ((START, "first parts"), (END, "last parts"), (MIDDLE, "middle parts")):
            if feature.parts[part] >= PIECE_SHARE:
                of = f" ({join_words(pieces)})" if len(pieces) > 1 else ""
                return f"{name}{of} of longer words such as {join_words(self._word_names(feature.forms)[:3])}"
        return None

    def _word_list(self, feature: FeatureShares) -> str:
        frequent = [item for item in feature.forms if item[1] >= WORD_SHARE][:MAX_WORDS]
        covered = sum(share for _, share in feature.stems if share >= WORD_SHARE)
        if frequent and covered >= LIST_COVERAGE:
            return join_words(self._word_names(frequent))
        return f"{VARIED} such as {join_words(self._word_names([(form, 1.0) for form in feature.strongest]))}"

    # --- words and texts around it

    def _context_phrase(self, feature: FeatureShares, head: str) -> str:
        before = self._neighbour_word(feature.before, feature.words[0][0])
        if before is None:
            label = self._class_before(feature)
            before = label or self._two_words_before(feature.before)
        after = self._neighbour_word(feature.after, feature.words[0][0])
        if before and before == after:
            return f", between {before}"
        if not before and not after and head.startswith(VARIED):
            best = self._best_class(feature.soon_after, self.base.soon_after)
            is_meaningful = best is not None and not self.classes.weak[best] and not self.classes.grammar[best]
            return f", soon after {self._label_without_group(best)}" if best is not None and is_meaningful else ""
        return (f", after {before}" if before else "") + (f", before {after}" if after else "")

    def _neighbour_word(self, shares: Shares, own: int) -> str | None:
        word, share = shares[0]
        if word < 0 or word == own or share < CONTEXT_SHARE or share < CONTEXT_LIFT * self.base.words[word]:
            return None
        return self._usual_spelling(word)

    def _usual_spelling(self, word: int) -> str:
        spelled = self.text.forms[self.corpus.usual_forms[word]]
        return mark_name(spelled) or quoted(spelled)

    def _class_before(self, feature: FeatureShares) -> str | None:
        best = self._best_class(feature.class_before)
        if best is None or self.classes.weak[best]:
            return None
        if self.classes.grammar[best] and feature.class_before[best] < CLASS_PURE_SHARE:
            return None
        if self._label_without_group(best) == CODE:
            return None
        return self._label_without_group(best)

    def _label_without_group(self, number: int) -> str:
        """The label without its group: "numbers: years" describes the feature's own words, "years" other words."""
        return self.classes.labels[number].rpartition(": ")[2]

    def _two_words_before(self, shares: Shares) -> str | None:
        pair = [(word, share) for word, share in shares[:2] if word >= 0 and share >= 0.2]
        if len(pair) < 2:
            return None
        usual = sum(float(self.base.words[word]) for word, _ in pair)
        share = sum(share for _, share in pair)
        if share < CLASS_SHARE or share < CONTEXT_LIFT * usual:
            return None
        return join_words([self._usual_spelling(word) for word, _ in pair], " or ")

    def _collection_phrase(self, feature: FeatureShares, head: str) -> str:
        if feature.code >= COLLECTION_SHARE and feature.code >= COLLECTION_LIFT * self.base.code:
            return "" if head.startswith((CODE, f"mostly {CODE}")) else f", in {CODE}"
        number, share = feature.collections[0]
        if self.corpus.collection_names[number] in head:
            return ""
        if share >= COLLECTION_SHARE and share >= COLLECTION_LIFT * self.base.collections[number]:
            return f", in {self.corpus.collection_names[number]}"
        return ""

    # --- tokens it promotes

    def _promoted_phrase(self, feature: FeatureShares, best: int | None) -> str:
        feature_stems = {int(stem) for stem, share in feature.stems if share >= WORD_SHARE}
        following = {
            token
            for token, share in feature.next_tokens
            if share >= NEXT_TOKEN_SHARE and share >= CONTEXT_LIFT * self.base.tokens[token]
        }
        words: list[tuple[int, str]] = []
        used_stems = set(feature_stems)
        for token in feature.promoted:
            string = self.text.strings[token]
            stem = self._stem_of_string(string)
            if _WORD.fullmatch(string) and (stem is None or stem not in used_stems):
                used_stems |= {stem} if stem is not None else set()
                words.append((token, string))
        counts = np.zeros(len(self.classes.labels), dtype=int)
        for _, string in words:
            counts += self._classes_of(string) & ~self.classes.weak & ~self.classes.grammar & ~self._code
        if len(counts) and counts.max() >= MIN_PROMOTED_OF_CLASS and self.classes.parents:
            shared = int(counts.argmax())
            class_words = [promoted_word(string) for _, string in words if self._classes_of(string)[shared]]
            return f"; promotes {self._label_without_group(shared)} such as {join_words(class_words[:2])}"
        fitting = [
            promoted_word(string)
            for token, string in words
            if token in following
            or (best is not None and not self.classes.weak[best] and self._classes_of(string)[best])
        ]
        return f"; promotes {join_words(fitting[:2])}" if fitting else ""

    def _stem_of_string(self, string: str) -> int | None:
        key = self._key.get(string.strip().casefold())
        return None if key is None else int(self.text.stem_of[key])

    def _classes_of(self, string: str) -> np.ndarray:
        """(C,) bool: the classes of a token; a token without a leading blank, a piece of a word, has none."""
        form = self._form.get(string.strip()) if string.startswith(" ") else None
        return self.base.in_class[form] if form is not None else np.zeros(len(self.classes.labels), dtype=bool)


def _label_with_colon(label: str) -> str:
    """The label with a colon, such as "law words:"; that of a group has one already: "dates: month names"."""
    return label if ": " in label else f"{label}:"
