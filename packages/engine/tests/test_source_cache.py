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
        self.shelf: SourceCache | None = None
        """Whose memory is looked at whenever something loads."""
        self.most_at_once = 0

    def stored(self, layer: int, width: int = 16) -> CacheEntry:
        name = f"{layer}-small"
        folder = small_sae(self.folder / name, layer=layer, width=width)

        def load() -> Source:
            if self.shelf is not None:
                self.most_at_once = max(self.most_at_once, self.shelf.nbytes([*self.shelf.loaded, name]))
            self.loads.append(name)
            return load_source(folder, name)

        facts = read_local_info(folder, name)
        return CacheEntry(facts, facts.nbytes("float32"), str(folder), load)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path)


def test_the_least_recently_used_source_is_evicted(library: Library) -> None:
    shelf = SourceCache([library.stored(layer) for layer in (0, 1, 2)], max_loaded=2, max_bytes=10**9)
    assert shelf.ids == ("0-small", "1-small", "2-small") and shelf.loaded == frozenset() and shelf.prepend_bos
    assert [facts.layer for facts in shelf.infos()] == [0, 1, 2]
    first = shelf.get("0-small")
    shelf.get("1-small")
    assert shelf.get("0-small") is first
    shelf.get("2-small")
    assert shelf.loaded == {"0-small", "2-small"}
    assert "1-small" in shelf and "3-small" not in shelf
    shelf.get("1-small")
    assert shelf.loaded == {"1-small", "2-small"}
    assert library.loads == ["0-small", "1-small", "2-small", "1-small"]
    with pytest.raises(KeyError):
        shelf.get("3-small")
    assert not SourceCache([], max_loaded=1, max_bytes=1).prepend_bos
    with pytest.raises(ValueError, match="at least one"):
        SourceCache([], max_loaded=0, max_bytes=1)


def test_bytes_are_limited_apart_from_the_number(library: Library) -> None:
    """Two sources of 16 features fit; one of 32 needs the memory of two, one of 64 does not fit."""
    widths = {0: 16, 1: 16, 2: 32, 3: 64}
    stored = [library.stored(layer, width) for layer, width in widths.items()]
    small, large = stored[0].nbytes, stored[2].nbytes
    shelf = library.shelf = SourceCache(stored, max_loaded=9, max_bytes=2 * small)
    assert small < large <= 2 * small
    shelf.get("0-small")
    shelf.get("1-small")
    assert shelf.loaded == {"0-small", "1-small"}
    shelf.get("2-small")
    assert shelf.loaded == {"2-small"}
    shelf.get("0-small")
    assert shelf.loaded == {"0-small"} and library.most_at_once <= 2 * small
    with pytest.raises(LoadError, match=rf"3-small takes {stored[3].nbytes:,} bytes of memory; .* {2 * small:,} tog"):
        shelf.get("3-small")
    assert shelf.loaded == {"0-small"}


def test_a_source_that_fails_to_load_is_reported_and_others_are_served(library: Library) -> None:
    good, bad = library.stored(0), library.stored(1)
    (library.folder / "1-small" / "sae_weights.safetensors").write_bytes(b"")
    shelf = SourceCache([good, bad], max_loaded=2, max_bytes=10**9, unavailable={"2-small": "its folder is gone"})
    assert shelf.ids == ("0-small", "1-small") and "2-small" in shelf
    with pytest.raises(LoadError, match="its folder is gone"):
        shelf.get("2-small")
    with pytest.raises(ValueError, match="1-small is not a source"):
        shelf.get("1-small")
    assert shelf.get("0-small").id == "0-small" and shelf.loaded == {"0-small"}


def test_sources_are_added_and_removed(library: Library) -> None:
    shelf = SourceCache(
        [library.stored(0)], max_loaded=2, max_bytes=10**9, unavailable={"1-small": "its folder is gone"}
    )
    shelf.get("0-small")
    shelf.add(library.stored(1))
    assert shelf.get("1-small").layer == 1 and shelf.location("1-small").endswith("1-small")
    shelf.remove("0-small")
    assert shelf.ids == ("1-small",) and shelf.loaded == {"1-small"} and "0-small" not in shelf
    with pytest.raises(KeyError):
        shelf.remove("0-small")
    shelf.unavailable["2-small"] = "no"
    shelf.remove("2-small")
    assert "2-small" not in shelf
