"""`scripts/check_visibility.py` detects code that bypasses catalog/visibility.py, and finds none in the webapp."""

import runpy
from pathlib import Path

import pytest

SCRIPT = runpy.run_path(str(Path(__file__).resolve().parents[4] / "scripts" / "check_visibility.py"))
problems = SCRIPT["problems"]


def test_the_webapp_has_no_violation() -> None:
    assert problems(SCRIPT["ROOT"]) == []


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [
        ("features/service.py", "x = Source.current_load_id", "features/service.py:1: current_load_id is for"),
        ("features/service.py", "q = text('''SELECT\ncurrent_load_id FROM source''')", "current_load_id is for"),
        ("features/service.py", "q = f'{a} = source.current_load_id'", "current_load_id is for"),
        ("features/service.py", "update(Source).values(current_load_id=3)", "current_load_id is for"),
        ("features/service.py", "'''Docs of current_load_id.'''", None),
        ("catalog/visibility.py", "x = Source.current_load_id", None),
        ("datasets/load_states.py", "async def flip():\n    x = 'current_load_id'", None),
        (
            "datasets/load_states.py",
            "async def other():\n    x = 'current_load_id'",
            "load_states.py:2: current_load_id",
        ),
        (
            "lists/repository.py",
            "async def read(session: AsyncSession, id: int): ...",
            "1: read reads without a viewer",
        ),
        ("lists/repository.py", "async def read(session: AsyncSession, viewer: Viewer): ...", None),
        ("lists/repository.py", "async def read(session: 'AsyncSession', id: int): ...", "read reads without a viewer"),
        ("lists/repository.py", "async def read(session: AsyncSession, *, of: list[ResolvedSource]): ...", None),
        ("lists/repository.py", "class A:\n    async def read(self, session: AsyncSession): ...", "2: read reads"),
        ("lists/service.py", "import asyncpg", "1: asyncpg is for imports"),
        ("lists/service.py", "from asyncpg.pool import Pool", "1: asyncpg is for imports"),
        ("datasets/service.py", "import asyncpg", None),
    ],
)
def test_violations_are_found(tmp_path: Path, name: str, code: str, expected: str | None) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True)
    file.write_text(code)
    violations = problems(tmp_path)
    assert len(violations) == (0 if expected is None else 1), violations
    assert expected is None or expected in violations[0]
