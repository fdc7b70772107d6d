"""Screenshots of every page of a running demo, light and dark, 1280 and 390 pixels wide, for visual review.

    python scripts/screenshots.py --out FOLDER [--webapp http://127.0.0.1:3000] [name …]

Fails if a page is wider than its window or the console shows an error.
"""

import argparse
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

MODEL = "/smollm2-135m-it"
FEATURE = f"{MODEL}/15-res-4k/87"
TEXT = "On March 4, 1861 the president spoke of 25 states and one whale."
PAGES = {
    "home": "/",
    "release": "/memicos-demo",
    "model": MODEL,
    "set": f"{MODEL}/res-4k",
    "source": f"{MODEL}/15-res-4k",
    "feature": FEATURE,
    "feature-own-text": f"{FEATURE}?defaulttesttext={TEXT}",
    "feature-embed": f"{FEATURE}?embed=true",
    "jump": "/jump?to=87",
    "search-explanations": "/search-explanations/?q=numbers+and+dates",
    "search-text": f"/search?q={TEXT}",
    "search-tokens": f"/search-topk-by-token?modelId=smollm2-135m-it&source=15-res-4k&text={TEXT}",
    "steer": f"{MODEL}/steer?source=15-res-4k&index=87&strength=150",
    "steer-chat": f"{MODEL}/steer?mode=chat",
    "api-doc": "/api-doc",
    "missing": f"{MODEL}/15-res-4k/99999",
}


def settle(page: Page, name: str) -> None:
    """Wait until the page's later requests are complete; run a completion on the steer page first."""
    if name == "steer":
        page.get_by_role("button", name="Completion", exact=True).click()
        page.get_by_label("prompt").fill("The meeting will be held on")
        page.get_by_role("spinbutton", name="Tokens").fill("24")
        page.get_by_role("button", name="Run").click()
        page.locator("#stop").wait_for(state="visible")
        page.locator("#stop").wait_for(state="hidden", timeout=60_000)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(300)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--webapp", default="http://127.0.0.1:3000")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("names", nargs="*", choices=[*PAGES, []], help="pages; default: all")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    problems: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        for width, height in ((1280, 900), (390, 844)):
            for scheme in ("light", "dark"):
                context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
                for name in arguments.names or PAGES:
                    page = context.new_page()
                    messages: list[str] = []
                    page.on("console", lambda message, to=messages: to.append(f"{message.type}: {message.text}"))
                    page.goto(arguments.webapp + PAGES[name])
                    settle(page, name)
                    page.screenshot(path=arguments.out / f"{name}-{scheme}-{width}.png", full_page=True)
                    wide = page.evaluate("document.documentElement.scrollWidth")
                    if wide > width:
                        problems.append(f"{name} at {width}: {wide} pixels wide")
                    problems += [
                        f"{name}: {line}" for line in messages if line.startswith("error") and name != "missing"
                    ]
                    page.close()
                context.close()
        browser.close()
    print(*problems or ["no page is too wide; no console errors"], sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
