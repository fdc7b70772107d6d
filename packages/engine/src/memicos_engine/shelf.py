"""The sources of a model, of which some are in memory."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from memicos_engine.sources import Source, SourceFacts


@dataclass(frozen=True)
class Stored:
    """A source where it is kept. `load` reads its weights, and may fail as loading does."""

    facts: SourceFacts
    load: Callable[[], Source]


class Shelf:
    """Sources by id, in the order given. At most `most` are in memory: the one used longest ago leaves first.

    Not for several threads.
    """

    def __init__(self, stored: Iterable[Stored], most: int) -> None:
        if most < 1:
            raise ValueError("a shelf holds at least one source")
        self._stored = {one.facts.id: one for one in stored}
        self._most = most
        self._loaded: OrderedDict[str, Source] = OrderedDict()
        """The one used last comes last."""

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._stored)

    def __contains__(self, source_id: str) -> bool:
        return source_id in self._stored

    @property
    def loaded(self) -> frozenset[str]:
        """Ids of what is in memory."""
        return frozenset(self._loaded)

    def facts(self) -> tuple[SourceFacts, ...]:
        return tuple(one.facts for one in self._stored.values())

    def get(self, source_id: str) -> Source:
        """The source, loaded where it is not in memory.

        Raises:
            KeyError: there is none of that id.
        """
        source = self._loaded.get(source_id)
        if source is None:
            load = self._stored[source_id].load
            if len(self._loaded) >= self._most:
                # before the load, so that there are never more than `most`
                self._loaded.popitem(last=False)
            source = load()
            self._loaded[source_id] = source
        self._loaded.move_to_end(source_id)
        return source

    @property
    def prepend_bos(self) -> bool:
        """Whether the first source was trained with BOS. False without sources."""
        return next((one.facts.recipe.prepend_bos for one in self._stored.values()), False)
