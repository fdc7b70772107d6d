"""Strings of a corpus' tokens, of which a process keeps those that it has read: pages of one source share most of them.

A corpus never changes: other texts are another one, with another id.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from memicos_dataset.token_text import context_strings, has_byte
from sqlalchemy import Connection, Engine, Integer, Text, any_, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog.models import VocabularyToken

KEPT_TOKENS = 1 << 18
"""Of all corpora of a database together, at about 150 bytes each; beyond, all are read again."""

# arrays are read several times faster than rows
_TOKENS = select(
    func.array_agg(VocabularyToken.token_id, type_=ARRAY(Integer)).label("ids"),
    func.array_agg(VocabularyToken.token, type_=ARRAY(Text)).label("strings"),
).where(
    VocabularyToken.corpus_id == bindparam("corpus"),
    VocabularyToken.token_id == any_(bindparam("ids", type_=ARRAY(Integer))),
)


@dataclass
class VocabularyCache:
    """Strings of tokens by their ids, and the ids of those with a byte that is part of a character."""

    strings: dict[int, str] = field(default_factory=dict)
    of_bytes: set[int] = field(default_factory=set)

    def text(self, token_ids: Sequence[int]) -> list[str]:
        """Strings of a context's tokens, which were read, with bytes that are part of a character joined to it."""
        own = [self.strings[i] for i in token_ids]
        return own if self.of_bytes.isdisjoint(token_ids) else context_strings(own)


_kept: WeakKeyDictionary[Engine | Connection, dict[int, VocabularyCache]] = WeakKeyDictionary()
"""By the corpus' id, of each database."""


async def read(session: AsyncSession, corpus_id: int, token_ids: Iterable[int]) -> VocabularyCache:
    """The strings of a corpus, with at least those of `token_ids`."""
    corpora = _kept.setdefault(session.get_bind(), {})
    found, ids = corpora.get(corpus_id, VocabularyCache()), set(token_ids)
    missing = [i for i in ids if i not in found.strings]
    if not missing:
        return found
    if sum(len(kept.strings) for kept in corpora.values()) + len(missing) > KEPT_TOKENS:
        # requests that have read some of them go on with these
        corpora.clear()
        found, missing = VocabularyCache(), list(ids)
    row = (await session.execute(_TOKENS, {"corpus": corpus_id, "ids": missing})).one()
    for token, string in zip(row.ids or (), row.strings or (), strict=True):
        found.strings[token] = string
        if has_byte(string):
            found.of_bytes.add(token)
    corpora.setdefault(corpus_id, found)
    return found
