"""One feature's shares -> a description: words it is active on, words around them, collection, promoted tokens.

Each part is included only if a fixed share of the weight of the strongest activations supports it.
"""

import re
from collections import Counter, defaultdict

import numpy as np

from memicos_pipeline.token_statistics.facts import FIRST_ALONE, Base, Corpus, Facts, Shares
from memicos_pipeline.token_statistics.numbers import digit_head
from memicos_pipeline.token_statistics.text import END, MIDDLE, START
from memicos_pipeline.token_statistics.wording import listed, mark_name, promoted_word, quoted

FEW = 5
"""A feature with fewer activations than this is described by its words alone."""
CLASS_SHARE, CLASS_LIFT = 0.65, 3.0
"""A class is named if it has at least this share of the weight, and this many times its share of the corpus."""
CLASS_PURE = 0.85
"""From this share on a class is named without "mostly"."""
WORD_ALONE = 0.8
"""One word (with its forms) that has at least this share of the weight is named alone."""
WORD_SHARE, LISTED = 0.06, 4
"""Otherwise up to LISTED words are listed that have at least this share each."""
LIST_COVERS = 0.5
"""Listed words that have less than this share together are given as examples."""
PIECE_SHARE = 0.7
"""A piece of words (a token, the first letters) with at least this share of the weight is named."""
LONGEST_START = 7
"""Largest number of letters of a common beginning."""
AROUND_SHARE, AROUND_LIFT = 0.5, 3.0
"""The word before or after is named if it has at least this share, and this many times its usual share."""
FIRST_SHARE = 0.25
"""First tokens of contexts are named if they have at least this share of the weight."""
PLACE_SHARE, PLACE_LIFT = 0.9, 2.0
"""A collection is named if it has at least this share of the weight, and this many times its usual share."""
FOLLOWS = 0.05
"""A promoted token is named if it comes next with at least this share of the weight, or is of the named class."""
PROMOTED_CLASS = 3
"""From this number on promoted words of one class are named with the class."""

VARIED = "varied words"
CODE = "code"
"""The label of lexicon.toml's class of code, which also names contexts of code."""

_WORD = re.compile(r" ?[A-Za-z]{3,}")


class Describer:
    """Writes descriptions of the features of one source; `base` has the shares over its counted tokens."""

    def __init__(self, corpus: Corpus, base: Base) -> None:
        self.corpus, self.text, self.classes, self.base = corpus, corpus.text, corpus.classes, base
        self._code = np.array([label == CODE for label in self.classes.labels])
        self._form = {form: number for number, form in enumerate(self.text.forms)}
        self._key = {key: number for number, key in enumerate(self.text.keys)}
        self._starting: dict[str, float] = defaultdict(float)
        for key, share in zip(self.text.keys, base.words.tolist(), strict=True):
            for size in range(2, min(len(key), LONGEST_START) + 1):
                self._starting[key[:size]] += share

    def describe(self, facts: Facts) -> str:
        """The description; empty for a feature that is never active."""
        if facts.active == 0:
            return ""
        if facts.active < FEW:
            times = "once" if facts.active == 1 else f"{facts.active} times"
            return f"active only {times}, on {listed(self._words(facts.forms))}"
        if facts.first >= FIRST_ALONE:
            return f"first tokens of contexts such as {listed(self._words([(form, 1.0) for form in facts.strongest]))}"
        best = self._best_class(facts.classes)
        head = self._head(facts, best)
        if facts.first >= FIRST_SHARE:
            head += ", and first tokens of contexts"
        return head + self._around(facts, head) + self._place(facts, head) + self._promotes(facts, best)

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
            rest = [i for i in np.flatnonzero(candidates).tolist() if i not in covered]
            if rest:
                return max(rest, key=lambda i: (round(float(shares[i]), 2), -i))
        return None

    def _head(self, facts: Facts, best: int | None) -> str:
        strong = best if best is not None and not self.classes.weak[best] else None
        word, share = facts.words[0]
        key = self.text.keys[word]
        if mark_name(key) and share >= CLASS_SHARE:
            often = [self.text.keys[number] for number, part in facts.words[:2] if part >= 0.2]
            return listed(list(dict.fromkeys(mark_name(key) or quoted(key) for key in often)))
        if strong is not None and self.classes.digits[strong]:
            return digit_head(facts, self.text, self._label(facts, strong))
        alone = self._one_word(facts, strong)
        if alone:
            return alone
        if strong is not None and len(words := self._words(facts.forms, strong)) > 1:
            return f"{_titled(self._label(facts, strong))} {listed(words)}"
        piece = self._piece(facts) or self._beginning(facts)
        if piece:
            return piece
        if best is not None and strong is None and len(words := self._words(facts.forms, best)) > 1:
            return f"{self._label(facts, best)}: {listed(words)}"
        return self._place_in_word(facts) or self._list(facts)

    def _label(self, facts: Facts, number: int) -> str:
        label = self.classes.labels[number]
        return label if facts.classes[number] >= CLASS_PURE else f"mostly {label}"

    def _one_word(self, facts: Facts, strong: int | None) -> str | None:
        stem, share = facts.stems[0]
        if share < WORD_ALONE:
            return None
        keys = [(word, part) for word, part in facts.words if self.text.stem_of[word] == stem]
        forms = [(form, part) for form, part in facts.forms if self._stem(form) == stem and part >= 0.02]
        key = self.text.keys[keys[0][0]]
        first, *others = self._words(forms) or [mark_name(key) or quoted(key)]
        clear = strong is not None and not {self.text.keys[word] for word, _ in keys} & self.classes.ambiguous
        if clear and strong is not None:
            return f"{_titled(self.classes.labels[strong])} {listed([first, *others])}"
        what = f"the word {first}" if key[:1].isalpha() else first
        return f"{what}, also {listed(others)}" if others else what

    def _stem(self, form: int) -> int:
        return int(self.text.stem_of[self._key[self.text.forms[form].casefold().replace("’", "'")]])

    def _words(self, forms: Shares, of_class: int | None = None) -> list[str]:
        """Names of the words with the largest shares; spellings that differ in case only are listed once."""
        shown: dict[str, str] = {}
        for form, share in forms:
            spelled = self.text.forms[form]
            if of_class is not None and not self.base.in_class[form, of_class]:
                continue
            if len(shown) >= LISTED or (len(shown) >= 3 and share < WORD_SHARE / 2):
                break
            shown.setdefault(spelled.casefold().replace("’", "'"), mark_name(spelled) or quoted(spelled))
        return list(dict.fromkeys(shown.values()))

    def _piece(self, facts: Facts) -> str | None:
        """A description by one token that is a piece of different words."""
        token, share = facts.tokens[0]
        inside = facts.parts[[START, MIDDLE, END]].sum()
        if share < PIECE_SHARE or inside < PIECE_SHARE:
            return None
        piece = self.text.strings[token].strip()
        words = listed(self._words(facts.forms))
        if facts.parts[START] >= PIECE_SHARE:
            return f"words starting with '{piece}-': {words}"
        if facts.parts[END] >= PIECE_SHARE:
            return f"words ending in '-{piece}': {words}"
        return f"the piece '-{piece}-' inside words: {words}"

    def _beginning(self, facts: Facts) -> str | None:
        """A description by a beginning that different words share."""
        shares: dict[str, float] = defaultdict(float)
        words: Counter[str] = Counter()
        for word, share in facts.words:
            key = self.text.keys[word]
            for size in range(2, min(len(key), LONGEST_START) + 1):
                if key[:size].isalpha():
                    shares[key[:size]] += share
                    words[key[:size]] += 1
        alike = [
            start
            for start, share in shares.items()
            if share >= CLASS_SHARE and words[start] >= 3 and share >= CLASS_LIFT * self._starting[start]
        ]
        if not alike:
            return None
        start = max(alike, key=lambda start: (len(start), shares[start]))
        fitting = [item for item in facts.forms if self.text.forms[item[0]].casefold().startswith(start)]
        mostly = "mostly " if shares[start] < CLASS_PURE else ""
        return f"{mostly}words starting with '{start}-': {listed(self._words(fitting))}"

    def _place_in_word(self, facts: Facts) -> str | None:
        pieces = [quoted(self.text.strings[t].strip()) for t, part in facts.tokens[:3] if part >= WORD_SHARE]
        pieces = list(dict.fromkeys(pieces))
        for part, name in ((START, "first parts"), (END, "last parts"), (MIDDLE, "middle parts")):
            if facts.parts[part] >= PIECE_SHARE:
                of = f" ({listed(pieces)})" if len(pieces) > 1 else ""
                return f"{name}{of} of longer words such as {listed(self._words(facts.forms)[:3])}"
        return None

    def _list(self, facts: Facts) -> str:
        often = [item for item in facts.forms if item[1] >= WORD_SHARE][:LISTED]
        covered = sum(share for _, share in facts.stems if share >= WORD_SHARE)
        if often and covered >= LIST_COVERS:
            return listed(self._words(often))
        return f"{VARIED} such as {listed(self._words([(form, 1.0) for form in facts.strongest]))}"

    # --- words and texts around it

    def _around(self, facts: Facts, head: str) -> str:
        before = self._beside(facts.before, facts.words[0][0])
        if before is None:
            label = self._class_before(facts)
            before = label or self._two_before(facts.before)
        after = self._beside(facts.after, facts.words[0][0])
        if before and before == after:
            return f", between {before}"
        if not before and not after and head.startswith(VARIED):
            best = self._best_class(facts.soon_after, self.base.soon_after)
            known = best is not None and not self.classes.weak[best] and not self.classes.grammar[best]
            return f", soon after {self._short(best)}" if best is not None and known else ""
        return (f", after {before}" if before else "") + (f", before {after}" if after else "")

    def _beside(self, shares: Shares, own: int) -> str | None:
        word, share = shares[0]
        if word < 0 or word == own or share < AROUND_SHARE or share < AROUND_LIFT * self.base.words[word]:
            return None
        return self._usual(word)

    def _usual(self, word: int) -> str:
        spelled = self.text.forms[self.corpus.usual_forms[word]]
        return mark_name(spelled) or quoted(spelled)

    def _class_before(self, facts: Facts) -> str | None:
        best = self._best_class(facts.class_before)
        if best is None or self.classes.weak[best]:
            return None
        if self.classes.grammar[best] and facts.class_before[best] < CLASS_PURE:
            return None
        if self._short(best) == CODE:
            return None
        return self._short(best)

    def _short(self, number: int) -> str:
        """The label without its group: "numbers: years" describes the feature's own words, "years" other words."""
        return self.classes.labels[number].rpartition(": ")[2]

    def _two_before(self, shares: Shares) -> str | None:
        two = [(word, share) for word, share in shares[:2] if word >= 0 and share >= 0.2]
        if len(two) < 2:
            return None
        usual = sum(float(self.base.words[word]) for word, _ in two)
        share = sum(share for _, share in two)
        if share < CLASS_SHARE or share < AROUND_LIFT * usual:
            return None
        return listed([self._usual(word) for word, _ in two], " or ")

    def _place(self, facts: Facts, head: str) -> str:
        if facts.code >= PLACE_SHARE and facts.code >= PLACE_LIFT * self.base.code:
            return "" if head.startswith((CODE, f"mostly {CODE}")) else f", in {CODE}"
        number, share = facts.collections[0]
        if self.corpus.collection_names[number] in head:
            return ""
        if share >= PLACE_SHARE and share >= PLACE_LIFT * self.base.collections[number]:
            return f", in {self.corpus.collection_names[number]}"
        return ""

    # --- tokens it promotes

    def _promotes(self, facts: Facts, best: int | None) -> str:
        own = {int(stem) for stem, share in facts.stems if share >= WORD_SHARE}
        following = {
            token
            for token, share in facts.next_tokens
            if share >= FOLLOWS and share >= AROUND_LIFT * self.base.tokens[token]
        }
        words: list[tuple[int, str]] = []
        seen = set(own)
        for token in facts.promoted:
            string = self.text.strings[token]
            stem = self._stem_of_string(string)
            if _WORD.fullmatch(string) and (stem is None or stem not in seen):
                seen |= {stem} if stem is not None else set()
                words.append((token, string))
        counts = np.zeros(len(self.classes.labels), dtype=int)
        for _, string in words:
            counts += self._classes_of(string) & ~self.classes.weak & ~self.classes.grammar & ~self._code
        if len(counts) and counts.max() >= PROMOTED_CLASS and self.classes.parents:
            shared = int(counts.argmax())
            shown = [promoted_word(string) for _, string in words if self._classes_of(string)[shared]]
            return f"; promotes {self._short(shared)} such as {listed(shown[:2])}"
        fitting = [
            promoted_word(string)
            for token, string in words
            if token in following
            or (best is not None and not self.classes.weak[best] and self._classes_of(string)[best])
        ]
        return f"; promotes {listed(fitting[:2])}" if fitting else ""

    def _stem_of_string(self, string: str) -> int | None:
        key = self._key.get(string.strip().casefold())
        return None if key is None else int(self.text.stem_of[key])

    def _classes_of(self, string: str) -> np.ndarray:
        """(C,) bool: the classes of a token; a token without a leading blank, a piece of a word, has none."""
        form = self._form.get(string.strip()) if string.startswith(" ") else None
        return self.base.in_class[form] if form is not None else np.zeros(len(self.classes.labels), dtype=bool)


def _titled(label: str) -> str:
    """ "law words:"; a class of a group has its colon already: "dates: month names"."""
    return label if ": " in label else f"{label}:"
