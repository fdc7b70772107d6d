"""The owner explains features in batches from the form: where the profile has them, with progress, and cancelled."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest
from memicos_testing.llm_provider import SERVER_KEY, LlmProvider, explain_marks
from memicos_testing.webapp.small_dataset import write_dataset
from playwright.sync_api import Page, expect

Environment = dict[str, str]
EXPLAIN = "/account/data/explain?name=small/1-res"


@pytest.fixture(scope="module")
def llm() -> Iterator[LlmProvider]:
    with LlmProvider() as server:
        server.answer = explain_marks
        yield server


@pytest.fixture(scope="module")
def environment(llm: LlmProvider) -> Iterator[Environment]:
    # outside pytest's folder: under root, PostgreSQL runs as another user
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_dataset(folder / "small")
        (folder / "profiles.toml").write_text(
            f'[single]\nbase_url = "{llm.base_url}"\nneeds_key = false\nmodels = ["s"]\n'
            f'[local]\nbase_url = "{llm.base_url}"\nkey_variable = "LOCAL_KEY"\nmodels = ["m"]\nbatch = true\n'
            "prices = { m = { input = 2, output = 10 } }\n"
        )
        own = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
        yield own | {
            "MEMICOS_DATA": f"{folder}/data",
            "MEMICOS_EMBED_EVERY_SECONDS": "0",
            "AUTOINTERP_PROFILES_FILE": f"{folder}/profiles.toml",
            "AUTOINTERP_BATCH_POLL_SECONDS": "0.5",
            "LOCAL_KEY": SERVER_KEY,
            "DATASET": f"{folder}/small",
        }


@pytest.mark.parametrize("width", [1280, 390])
def test_features_are_explained_in_batches(
    watched: Callable[..., Page],
    environment: Environment,
    start_webapp: Callable[[Environment], AbstractContextManager[str]],
    llm: LlmProvider,
    width: int,
) -> None:
    page = watched(viewport={"width": width, "height": 844})

    def fits() -> bool:
        return page.evaluate("document.documentElement.scrollWidth") <= width

    with ExitStack() as stack:
        url = stack.enter_context(start_webapp(environment))
        program = (sys.executable, "-c", "from memicos_cli.main import app; app()")
        subprocess.run([*program, "import", environment["DATASET"]], env=environment, check=True, capture_output=True)
        worker = stack.enter_context(subprocess.Popen([*program, "worker"], env=environment))
        stack.callback(worker.terminate)
        llm.batches.reset()
        llm.batches.held = True
        page.goto(url + EXPLAIN)
        box = page.get_by_role("checkbox", name="in batches")
        page.get_by_label("Language model").select_option("single s")
        expect(box).to_be_hidden()
        page.get_by_label("Language model").select_option("local m")
        expect(box).to_be_visible()
        assert fits()
        box.check()
        page.get_by_label("Budget").fill("1")
        page.get_by_label("Only these indices").fill("0-25" if width == 1280 else "26-55")
        page.get_by_role("button", name="Explain").click()
        # the state and the progress come without a reload
        expect(page.locator("[data-job-state]")).to_have_text("waiting", timeout=30_000)
        expect(page.locator("[data-job-text]")).to_contain_text("in_progress, 0 of ")
        assert fits()
        page.reload()
        expect(page.locator("main")).to_contain_text("A batch is in progress at the provider")
        expect(page.locator(".job-log")).to_contain_text("in batches, at 50% of the price")
        assert fits()
        if width == 1280:
            llm.batches.held = False
            expect(page.locator("[data-job-state]")).to_have_text("done", timeout=30_000)
            return
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("[data-job-state]")).to_have_text("cancelled", timeout=30_000)
        (batch,) = llm.batches.batches.values()
        for _ in range(300):
            if batch.status == "cancelled":
                break
            page.wait_for_timeout(100)
        assert batch.status == "cancelled"
        page.goto(f"{url}/account/data")
        expect(page.locator("main")).to_contain_text("cancel-batches")
        assert fits()
