"""The source cache: eviction by number and by bytes, sources that fail to load, sources added and removed."""

from pathlib import Path

import pytest
from memicos_engine.errors import LoadError
from memicos_engine.sources.source import Source
from memicos_engine.sources.source_cache import CacheEntry, SourceCache
from memicos_engine.sources.source_loading import load_source, read_local_info
from memicos_testing.models.small_model import small_sae


class Library:
    """Small sources `0-small` to `3-small`, with the number of loads of each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loads: list[str] = []
        self.cache: SourceCache | None = None
        """The cache whose memory is measured at each load."""
        self.peak_nbytes = 0

    def stored(self, layer: int, width: int = 16) -> CacheEntry:
        name = f"{layer}-small"
        folder = small_sae(self.folder / name, layer=layer, width=width)

        def load() -> Source:
            if self.cache is not None:
                self.peak_nbytes = max(self.peak_nbytes, self.cache.nbytes([*self.cache.loaded, name]))
            self.loads.append(name)
            return load_source(folder, name)

        info = read_local_info(folder, name)
        return CacheEntry(info, info.nbytes("float32"), str(folder), load)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path)


def test_the_least_recently_used_source_is_evicted(library: Library) -> None:
    cache = SourceCache([library.stored(layer) for layer in (0, 1, 2)], max_loaded=2, max_bytes=10**9)
    assert cache.ids == ("0-small", "1-small", "2-small") and cache.loaded == frozenset() and cache.prepend_bos
    assert [info.layer for info in cache.infos()] == [0, 1, 2]
    first = cache.get("0-small")
    cache.get("1-small")
    assert cache.get("0-small") is first
    cache.get("2-small")
    assert cache.loaded == {"0-small", "2-small"}
    assert "1-small" in cache and "3-small" not in cache
    cache.get("1-small")
    assert cache.loaded == {"1-small", "2-small"}
    assert library.loads == ["0-small", "1-small", "2-small", "1-small"]
    with pytest.raises(KeyError):
        cache.get("3-small")
    assert not SourceCache([], max_loaded=1, max_bytes=1).prepend_bos
    with pytest.raises(ValueError, match="at least one"):
        SourceCache([], max_loaded=0, max_bytes=1)


def test_bytes_are_limited_apart_from_the_number(library: Library) -> None:
    """Two sources of 16 features fit; one of 32 needs the memory of two, one of 64 does not fit."""
    widths = {0: 16, 1: 16, 2: 32, 3: 64}
    stored = [library.stored(layer, width) for layer, width in widths.items()]
    small, large = stored[0].nbytes, stored[2].nbytes
    cache = library.cache = SourceCache(stored, max_loaded=9, max_bytes=2 * small)
    assert small < large <= 2 * small
    cache.get("0-small")
    cache.get("1-small")
    assert cache.loaded == {"0-small", "1-small"}
    cache.get("2-small")
    assert cache.loaded == {"2-small"}
    cache.get("0-small")
    assert cache.loaded == {"0-small"} and library.peak_nbytes <= 2 * small
    with pytest.raises(LoadError, match=rf"3-small takes {stored[3].nbytes:,} bytes of memory; .* {2 * small:,} tog"):
        cache.get("3-small")
    assert cache.loaded == {"0-small"}


def test_a_source_that_fails_to_load_is_reported_and_others_are_served(library: Library) -> None:
    finite, damaged = library.stored(0), library.stored(1)
    (library.folder / "1-small" / "sae_weights.safetensors").write_bytes(b"")
    cache = SourceCache([finite, damaged], max_loaded=2, max_bytes=10**9, unavailable={"2-small": "its folder is gone"})
    assert cache.ids == ("0-small", "1-small") and "2-small" in cache
    with pytest.raises(LoadError, match="its folder is gone"):
        cache.get("2-small")
    with pytest.raises(ValueError, match="1-small is not a source"):
        cache.get("1-small")
    assert cache.get("0-small").id == "0-small" and cache.loaded == {"0-small"}


def test_sources_are_added_and_removed(library: Library) -> None:
    cache = SourceCache(
        [library.stored(0)], max_loaded=2, max_bytes=10**9, unavailable={"1-small": "its folder is gone"}
    )
    cache.get("0-small")
    cache.add(library.stored(1))
    assert cache.get("1-small").layer == 1 and cache.location("1-small").endswith("1-small")
    cache.remove("0-small")
    assert cache.ids == ("1-small",) and cache.loaded == {"1-small"} and "0-small" not in cache
    with pytest.raises(KeyError):
        cache.remove("0-small")
    cache.unavailable["2-small"] = "no"
    cache.remove("2-small")
    assert "2-small" not in cache
