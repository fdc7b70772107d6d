"""The sources of a model, of which some are in memory."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from memicos_engine.errors import LoadError
from memicos_engine.sources.source import Source, SourceFacts


@dataclass(frozen=True)
class Stored:
    """A source where it is kept, and the memory it takes. `load` reads its weights, and may fail as loading does.

    `place` says in words where it is, `weights` what it is: a folder's name or a place in the hub. `folder` has its
    files, where they are local.
    """

    facts: SourceFacts
    nbytes: int
    place: str
    load: Callable[[], Source]
    folder: Path | None = None
    weights: str = ""


class Shelf:
    """Sources by id, in the order given. In memory are at most `most` of them, and at most `most_bytes`: the ones
    used longest ago leave first. `broken` are those that cannot be had, by id, with the reason.

    Not for several threads.
    """

    def __init__(
        self, stored: Iterable[Stored], most: int, most_bytes: int, broken: Mapping[str, str] | None = None
    ) -> None:
        if most < 1:
            raise ValueError("a shelf holds at least one source")
        self._stored = {one.facts.id: one for one in stored}
        self._most = most
        self._most_bytes = most_bytes
        self._loaded: OrderedDict[str, Source] = OrderedDict()
        """The one used last comes last."""
        self.broken = dict(broken or {})

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._stored)

    def __contains__(self, source_id: str) -> bool:
        return source_id in self._stored or source_id in self.broken

    @property
    def loaded(self) -> frozenset[str]:
        """Ids of what is in memory."""
        return frozenset(self._loaded)

    def facts(self) -> tuple[SourceFacts, ...]:
        return tuple(one.facts for one in self._stored.values())

    def facts_of(self, source_id: str) -> SourceFacts:
        """Raises LoadError where it cannot be had."""
        if source_id in self.broken:
            raise LoadError(self.broken[source_id])
        return self._stored[source_id].facts

    def place(self, source_id: str) -> str:
        return self._stored[source_id].place

    def folder(self, source_id: str) -> Path | None:
        """Where its files are, if they are local."""
        return self._stored[source_id].folder

    def weights(self, source_id: str) -> str:
        return self._stored[source_id].weights

    def nbytes(self, source_ids: Iterable[str]) -> int:
        """Memory that these take together when they are loaded."""
        return sum(one.nbytes for one in map(self._stored.get, source_ids) if one)

    def get(self, source_id: str) -> Source:
        """The source, loaded where it is not in memory.

        Raises:
            KeyError: there is none of that id.
            LoadError: it cannot be loaded. Others still can.
        """
        if source_id in self.broken:
            raise LoadError(self.broken[source_id])
        source = self._loaded.get(source_id)
        if source is None:
            stored = self._stored[source_id]
            if stored.nbytes > self._most_bytes:
                raise LoadError(
                    f"Source {source_id} takes {stored.nbytes:,} bytes of memory; sources may take "
                    f"{self._most_bytes:,} together (INFERENCE_SAE_BYTES)."
                )
            # before the load, so that there is never more in memory than there may be
            while self._loaded and (
                len(self._loaded) >= self._most or self.nbytes(self._loaded) + stored.nbytes > self._most_bytes
            ):
                self._loaded.popitem(last=False)
            source = stored.load()
            self._loaded[source_id] = source
        self._loaded.move_to_end(source_id)
        return source

    def add(self, stored: Stored) -> None:
        """Takes the place of a broken one of the same id."""
        self.broken.pop(stored.facts.id, None)
        self._stored[stored.facts.id] = stored

    def remove(self, source_id: str) -> None:
        """Raises KeyError where there is none of that id."""
        if self.broken.pop(source_id, None) is None:
            del self._stored[source_id]
        self._loaded.pop(source_id, None)

    @property
    def prepend_bos(self) -> bool:
        """Whether the first source was trained with BOS. False without sources."""
        return next((one.facts.recipe.prepend_bos for one in self._stored.values()), False)
