"""The sources of a model, of which some are in memory."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from memicos_engine.errors import LoadError
from memicos_engine.sources.source import Source, SourceInfo


@dataclass(frozen=True)
class CacheEntry:
    """A source where it is kept, and the memory it takes. `load` reads its weights, and may fail as loading does.

    `place` says in words where it is, `weights` what it is: a folder's name or a place in the hub. `folder` has its
    files, where they are local.
    """

    info: SourceInfo
    nbytes: int
    location: str
    load: Callable[[], Source]
    folder: Path | None = None
    weights: str = ""


class SourceCache:
    """Sources by id, in the order given. In memory are at most `most` of them, and at most `most_bytes`: the ones
    used longest ago leave first. `broken` are those that cannot be had, by id, with the reason.

    Not for several threads.
    """

    def __init__(
        self,
        entries: Iterable[CacheEntry],
        max_loaded: int,
        max_bytes: int,
        unavailable: Mapping[str, str] | None = None,
    ) -> None:
        if max_loaded < 1:
            raise ValueError("a shelf holds at least one source")
        self._entries = {one.info.id: one for one in entries}
        self._max_loaded = max_loaded
        self._max_bytes = max_bytes
        self._loaded: OrderedDict[str, Source] = OrderedDict()
        """The one used last comes last."""
        self.unavailable = dict(unavailable or {})

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._entries)

    def __contains__(self, source_id: str) -> bool:
        return source_id in self._entries or source_id in self.unavailable

    @property
    def loaded(self) -> frozenset[str]:
        """Ids of what is in memory."""
        return frozenset(self._loaded)

    def infos(self) -> tuple[SourceInfo, ...]:
        return tuple(one.info for one in self._entries.values())

    def info(self, source_id: str) -> SourceInfo:
        """Raises LoadError where it cannot be had."""
        if source_id in self.unavailable:
            raise LoadError(self.unavailable[source_id])
        return self._entries[source_id].info

    def location(self, source_id: str) -> str:
        return self._entries[source_id].location

    def folder(self, source_id: str) -> Path | None:
        """Where its files are, if they are local."""
        return self._entries[source_id].folder

    def weights(self, source_id: str) -> str:
        return self._entries[source_id].weights

    def nbytes(self, source_ids: Iterable[str]) -> int:
        """Memory that these take together when they are loaded."""
        return sum(one.nbytes for one in map(self._entries.get, source_ids) if one)

    def get(self, source_id: str) -> Source:
        """The source, loaded where it is not in memory.

        Raises:
            KeyError: there is none of that id.
            LoadError: it cannot be loaded. Others still can.
        """
        if source_id in self.unavailable:
            raise LoadError(self.unavailable[source_id])
        source = self._loaded.get(source_id)
        if source is None:
            stored = self._entries[source_id]
            if stored.nbytes > self._max_bytes:
                raise LoadError(
                    f"Source {source_id} takes {stored.nbytes:,} bytes of memory; sources may take "
                    f"{self._max_bytes:,} together (INFERENCE_SAE_BYTES)."
                )
            # before the load, so that there is never more in memory than there may be
            while self._loaded and (
                len(self._loaded) >= self._max_loaded or self.nbytes(self._loaded) + stored.nbytes > self._max_bytes
            ):
                self._loaded.popitem(last=False)
            source = stored.load()
            self._loaded[source_id] = source
        self._loaded.move_to_end(source_id)
        return source

    def add(self, stored: CacheEntry) -> None:
        """Takes the place of a broken one of the same id."""
        self.unavailable.pop(stored.info.id, None)
        self._entries[stored.info.id] = stored

    def remove(self, source_id: str) -> None:
        """Raises KeyError where there is none of that id."""
        if self.unavailable.pop(source_id, None) is None:
            del self._entries[source_id]
        self._loaded.pop(source_id, None)

    @property
    def prepend_bos(self) -> bool:
        """Whether the first source was trained with BOS. False without sources."""
        return next((one.info.recipe.prepend_bos for one in self._entries.values()), False)
