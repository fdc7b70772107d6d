"""Jobs over many features under test: a provider with a price, a worker, and the job once it has ended."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from memicos_webapp.jobs import file_repository
from memicos_webapp.jobs import repository as jobs

from memicos_testing.llm_provider import SERVER_KEY, LlmProvider
from memicos_testing.webapp.database import connected, fetch
from memicos_testing.webapp.imports.dataset_imports import until

PRICE_EACH = (321 * 2 + 12 * 10) / 1e6
"""US dollars of an answer of `LlmProvider` by the model `m`."""


@contextmanager
def local_provider(folder: Path, monkeypatch: pytest.MonkeyPatch, more: str = "") -> Iterator[LlmProvider]:
    """The provider of the profile `local`, with the models `m`, which has a price, and `n`.

    Args:
        more: further lines of the profile.
    """
    with LlmProvider() as server:
        profiles = folder / "profiles.toml"
        profiles.write_text(
            f'[local]\nbase_url = "{server.base_url}"\nkey_variable = "LOCAL_KEY"\nmodels = ["m", "n"]\n'
            "prices = { m = { input = 2, output = 10 } }\nlimits = { concurrency = 4 }\n"
            f"{more}\n"
        )
        monkeypatch.setenv("AUTOINTERP_PROFILES_FILE", str(profiles))
        monkeypatch.setenv("LOCAL_KEY", SERVER_KEY)
        yield server


async def ended(url: str, number: int) -> dict[str, Any]:
    """The job, once it has ended."""

    async def has_ended() -> bool:
        return (await fetch(url, "SELECT state FROM job WHERE id = $1", number))[0]["state"] in ("done", "failed")

    await until(has_ended)
    async with connected(url) as connection:
        job = await jobs.get(connection, number)
        assert job is not None
        return {**job, "failures": await file_repository.rejects(connection, number)}
