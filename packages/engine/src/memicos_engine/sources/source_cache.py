"""The sources of a model, with an LRU cache of their weights."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from memicos_engine.errors import LoadError
from memicos_engine.sources.source import Source, SourceInfo


@dataclass(frozen=True)
class CacheEntry:
    """A source that can be loaded. `load` reads its weights, `nbytes` is the memory that they take.

    `location` names the place in error messages; `weights` identifies the weights: a folder's name or a path in the
    hub. `folder` has the files, where they are local.
    """

    info: SourceInfo
    nbytes: int
    location: str
    load: Callable[[], Source]
    folder: Path | None = None
    weights: str = ""


class SourceCache:
    """Sources by id, in the order given, with an LRU cache of their weights.

    At most `max_loaded` sources and `max_bytes` are in memory, a source that is being loaded included. `unavailable`
    are sources that cannot be loaded, by id, with the reason.

    Not thread-safe. Where a thread of its own loads: `make_room` and `put` in the owner's thread, `CacheEntry.load` in
    the other.
    """

    def __init__(
        self,
        entries: Iterable[CacheEntry],
        max_loaded: int,
        max_bytes: int,
        unavailable: Mapping[str, str] | None = None,
    ) -> None:
        if max_loaded < 1:
            raise ValueError("a source cache holds at least one source")
        self._entries = {entry.info.id: entry for entry in entries}
        self._max_loaded = max_loaded
        self._max_bytes = max_bytes
        self._loaded: OrderedDict[str, Source] = OrderedDict()
        """Most recently used last."""
        self.unavailable = dict(unavailable or {})

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._entries)

    def __contains__(self, source_id: str) -> bool:
        return source_id in self._entries or source_id in self.unavailable

    @property
    def loaded(self) -> frozenset[str]:
        """Ids of the sources in memory."""
        return frozenset(self._loaded)

    def infos(self) -> tuple[SourceInfo, ...]:
        return tuple(entry.info for entry in self._entries.values())

    def info(self, source_id: str) -> SourceInfo:
        return self.entry(source_id).info

    def entry(self, source_id: str) -> CacheEntry:
        """The entry of a source.

        Raises:
            LoadError: the source is unavailable.
            KeyError: no source has that id.
        """
        if source_id in self.unavailable:
            raise LoadError(self.unavailable[source_id])
        return self._entries[source_id]

    def location(self, source_id: str) -> str:
        return self._entries[source_id].location

    def folder(self, source_id: str) -> Path | None:
        """The folder of a local source."""
        return self._entries[source_id].folder

    def weights(self, source_id: str) -> str:
        return self._entries[source_id].weights

    def nbytes(self, source_ids: Iterable[str]) -> int:
        """Memory that these sources take together when they are loaded."""
        return sum(entry.nbytes for entry in map(self._entries.get, source_ids) if entry)

    def get(self, source_id: str) -> Source:
        """The source, loaded in this thread where it is not in memory.

        Raises:
            KeyError: no source has that id.
            LoadError: it cannot be loaded; other sources still can.
        """
        entry = self.entry(source_id)
        source = self.cached(source_id)
        if source is None:
            self.make_room(entry)
            source = entry.load()
            self.put(entry, source)
        return source

    def cached(self, source_id: str) -> Source | None:
        """The source where it is in memory, now the most recently used one."""
        source = self._loaded.get(source_id)
        if source is not None:
            self._loaded.move_to_end(source_id)
        return source

    def make_room(self, entry: CacheEntry, keep: Collection[str] = ()) -> bool:
        """Evict the least recently used sources, except `keep`, until `entry` fits. Returns False where it does not.

        Raises:
            LoadError: it takes more memory than all sources together are allowed.
        """
        if entry.nbytes > self._max_bytes:
            raise LoadError(
                f"Source {entry.info.id} takes {entry.nbytes:,} bytes of memory; sources may take "
                f"{self._max_bytes:,} together (INFERENCE_SAE_BYTES)."
            )
        while self._loaded and (
            len(self._loaded) >= self._max_loaded or self.nbytes(self._loaded) + entry.nbytes > self._max_bytes
        ):
            evicted = next((source_id for source_id in self._loaded if source_id not in keep), None)
            if evicted is None:
                return False
            del self._loaded[evicted]
        return True

    def put(self, entry: CacheEntry, source: Source) -> bool:
        """Store a loaded source. Returns False where `entry` has been removed or replaced since."""
        if self._entries.get(entry.info.id) is not entry:
            return False
        self._loaded[entry.info.id] = source
        return True

    def add(self, entry: CacheEntry) -> None:
        """Add a source, or replace the one of the same id."""
        self.unavailable.pop(entry.info.id, None)
        self._entries[entry.info.id] = entry

    def remove(self, source_id: str) -> None:
        """Remove a source and its weights. Raises KeyError where no source has that id."""
        if self.unavailable.pop(source_id, None) is None:
            del self._entries[source_id]
        self._loaded.pop(source_id, None)

    @property
    def prepend_bos(self) -> bool:
        """Whether the first source was trained with BOS. False without sources."""
        return next((entry.info.recipe.prepend_bos for entry in self._entries.values()), False)
