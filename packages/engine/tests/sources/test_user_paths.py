"""Paths in entries of SAE_SETS and in names of models that the system cannot look up."""

import re
from pathlib import Path

import pytest
from memicos_engine.errors import LoadError
from memicos_engine.model.model_names import ModelNames, accepted_model_names, locate_weights
from memicos_engine.sources.source_candidates import with_load_errors
from memicos_engine.sources.source_selection import select_sources
from memicos_engine.sources.source_specs import SourceSelection, parse_spec
from memicos_engine.user_paths import printable, real_path, shortened
from memicos_testing.models.foreign_saes import random_weights, write_saelens


@pytest.mark.parametrize("name", ["~nosuchuser/x", "a\0b", "\0"])
def test_text_that_is_no_path_is_no_entry(name: str) -> None:
    with pytest.raises(LoadError, match=f"{re.escape(repr(name).strip(chr(39)))}.* is no path"):
        parse_spec(f"path:{name}")


@pytest.fixture
def loop(tmp_path: Path) -> Path:
    (tmp_path / "loop").symlink_to("loop")
    return tmp_path / "loop"


def test_a_bad_entry_does_not_hide_the_sources_of_others(tmp_path: Path, loop: Path) -> None:
    write_saelens(tmp_path / "1-good", random_weights(1, 8, 16))
    bad = {
        "path:~nosuchuser/x": "no home folder of ~nosuchuser",
        "path:a\0b": "NUL character",
        f"path:{tmp_path}/{'x' * 990}": "File name too long",
        f"path:{loop}": "symbolic links",
        f"path:{loop}/inside": "symbolic links",
        "no-such-set": "There is no source set no-such-set",
        f"saes/{'x' * 800}": "Put path: before it if it is a folder of sources",
        "path:/x@zip": "there is no format zip",
        "hf:gpt2": "hf:owner/name",
        "s3:bucket": "is no source set",
        "saelens:none": "has no release none",
        "": "is no source set",
    }
    selection = SourceSelection((*bad, f"path:{tmp_path}/1-good", *bad), ("some",), include=("good",))
    candidates = select_sources(selection, lambda message, share: None).candidates
    assert [candidate.id for candidate in candidates if candidate.error is None] == ["1-good"]
    reasons: dict[str, str] = {}
    for candidate in candidates:
        if candidate.error:
            with pytest.raises(LoadError) as error:
                with_load_errors(candidate, candidate.read_info, selection)
            reasons[candidate.id] = str(error.value)
    assert reasons.keys() == bad.keys()
    for entry, reason in bad.items():
        assert reason in reasons[entry] and len(reasons[entry]) < 1000


def test_a_source_that_cannot_be_read_does_not_hide_those_beside_it(tmp_path: Path, loop: Path) -> None:
    write_saelens(tmp_path / "1-good", random_weights(1, 8, 16))
    broken = write_saelens(tmp_path / "2-broken", random_weights(2, 8, 16))
    (broken / "memicos.json").symlink_to(loop)
    (broken / "cfg.json").unlink()
    (broken / "cfg.json").symlink_to(loop)
    unreadable = tmp_path / "3-deep"
    unreadable.mkdir()
    (unreadable / "memicos.json").write_text("[" * 100_000)
    selection = SourceSelection((f"path:{tmp_path}",), ("some",))
    candidates = select_sources(selection, lambda message, share: None).candidates
    good = [candidate for candidate in candidates if candidate.error is None]
    assert [candidate.id for candidate in good] == ["1-good"] and good[0].read_info().d_sae == 16
    assert any("3-deep" in candidate.id for candidate in candidates if candidate.error)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("~nosuchuser/model", "no home folder of ~nosuchuser"),
        ("a\0b", "NUL character"),
        ("x" * 990, "is neither a folder nor a hub id"),
        (f"/{'x' * 990}", "There is no folder"),
    ],
)
def test_names_of_models(name: str, message: str) -> None:
    for names in (ModelNames(model=name), ModelNames("some", custom=name), ModelNames("some", override=name)):
        with pytest.raises(LoadError, match=message) as error:
            locate_weights(names)
        assert len(str(error.value)) < 500


def test_a_loop_of_links_is_no_folder_of_a_model(loop: Path) -> None:
    with pytest.raises(LoadError, match="There is no folder"):
        locate_weights(ModelNames(model=str(loop)))
    location = locate_weights(ModelNames(model=str(loop.parent)))
    assert location.display_name == loop.parent.name
    assert accepted_model_names(ModelNames(str(loop.parent), str(loop)), [], location)[0] == loop.parent.name
    assert real_path(loop / "x") == real_path(loop.parent) / "loop" / "x"


def test_shown_texts_are_short_and_can_be_written() -> None:
    assert shortened("x" * 500) == "x" * 200 + "…"
    assert printable("a\udcff\ud800") == "a\\udcff\\ud800"
