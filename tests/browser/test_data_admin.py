"""The owner imports a dataset from the page of data, watches it, cancels it, resumes it, and opens a feature."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from memicos_testing.webapp.small_dataset import write_dataset
from playwright.sync_api import Page, expect

Watched = Callable[..., Page]
Environment = dict[str, str]

LOCK = """
import asyncio, sys
from pathlib import Path
import asyncpg
from memicos_webapp.database.embedded import database_url
from memicos_webapp.settings import Settings

async def lock(url):
    connection = await asyncpg.connect(url)
    await connection.execute("BEGIN")
    await connection.execute("LOCK TABLE explanation IN SHARE MODE")
    print("locked", flush=True)
    await asyncio.to_thread(sys.stdin.read)

with database_url(Settings()) as url:
    asyncio.run(lock(url))
"""


@pytest.fixture(scope="module")
def environment() -> Iterator[Environment]:
    # outside pytest's folder: under root, PostgreSQL runs as another user
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(Path(folder) / "roots" / "small")
        own = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
        yield own | {
            "MEMICOS_DATA": f"{folder}/data",
            "MEMICOS_IMPORT_ROOTS": f"{folder}/roots",
            "MEMICOS_EMBED_EVERY_SECONDS": "0",
        }


@contextmanager
def program(environment: Environment, *arguments: str, lines: int = 0) -> Iterator[subprocess.Popen[str]]:
    """A Python program, after its first `lines` lines; it is ended at the end."""
    with subprocess.Popen(
        [sys.executable, *arguments], env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            for _ in range(lines):
                assert process.stdout.readline()
            yield process
        finally:
            process.terminate()


@pytest.mark.parametrize("width", [1280, 390])
def test_an_import_is_watched_cancelled_and_resumed(
    watched: Watched,
    environment: Environment,
    start_webapp: Callable[[Environment], AbstractContextManager[str]],
    width: int,
) -> None:
    page = watched(viewport={"width": width, "height": 844})
    with start_webapp(environment) as url, program(environment, "-m", "memicos_webapp.worker"):
        page.goto(f"{url}/account")
        page.get_by_role("link", name="Data", exact=True).click()
        page.locator("a[href*=browse]").focus()
        page.keyboard.press("Enter")
        page.get_by_role("link", name="small").click()
        expect(page.locator("main")).to_contain_text("64 features, 3 files")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        with program(environment, "-c", LOCK, lines=1):
            page.get_by_role("button", name="Import").focus()
            page.keyboard.press("Enter")
            # the state and the progress come without a reload
            expect(page.locator("[data-job-state]")).to_have_text("running", timeout=30_000)
            expect(page.locator("[data-job-text]")).to_contain_text("copies explanations", timeout=30_000)
            expect(page.locator("[data-job-text]")).to_contain_text(" of 664 rows")
            expect(page.locator("progress")).not_to_have_attribute("value", "0", timeout=30_000)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.get_by_role("button", name="Cancel").click()
            expect(page.locator("[data-job-state]")).to_have_text("cancelled", timeout=30_000)
            expect(page.get_by_role("button", name="Resume")).to_be_visible()
        page.goto(f"{url}/account/data")
        expect(page.locator("main")).to_contain_text("Nothing is stored yet")
        page.get_by_role("button", name="Resume job").click()
        expect(page.locator("[data-job-state]")).to_have_text("done", timeout=30_000)
        page.get_by_role("link", name="Open small/res").click()
        page.goto(f"{url}/account/data")
        expect(page.locator("main")).to_contain_text("complete, verified")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.get_by_role("link", name="2-res", exact=True).click()
        page.get_by_role("link", name="5", exact=True).first.click()
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert page.url.endswith("/small/2-res/5")
        page.goto(f"{url}/account/data")
        page.get_by_label("Delete small/res").first.click()
        page.get_by_role("button", name="Delete small/res now").click()
        expect(page.locator("[data-job-state]")).to_have_text("done", timeout=30_000)
        page.goto(f"{url}/account/data")
        expect(page.locator("main")).to_contain_text("Nothing is stored yet")
