"""Start-up of the demo: seconds until a dashboard is served and until inference is ready, cold and warm.

The first start is cold: an empty database, and no remembered self-test. Each later one is warm. The model is
downloaded and converted before they begin. Between two starts the benchmark waits until all explanations have
vectors, as a user's first session would.
"""

import argparse
import json
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from memicos_testing.demo_program import ROOT, Demo, data_folder, start_demo

PAGE = "/smollm2-135m-it/15-res-4k/0"
POLL_SECONDS = 0.05


def get(url: str) -> bytes | None:
    """The body of a response with status 200; None where there is none."""
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            return response.read()
    except OSError:
        return None


def seconds_until(started: float, url: str, demo: Demo, ready: str = "") -> float:
    """Seconds from `started` until `url` responds with 200, and its JSON field `ready` is true where one is named."""
    while True:
        body = get(url)
        if body is not None and (not ready or json.loads(body)[ready]):
            return time.monotonic() - started
        if demo.process.poll() is not None:
            sys.exit("the demo ended:\n" + "\n".join(demo.lines))
        time.sleep(POLL_SECONDS)


def embedded(demo: Demo) -> bool:
    """Whether search by meaning covers every explanation of the demo."""
    body = json.dumps({"modelId": "smollm2-135m-it", "query": "dates"}).encode()
    request = urllib.request.Request(
        f"{demo.webapp}/api/explanation/search-model", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return not json.loads(response.read())["skipped"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=4, help="starts in one data folder, the first of them cold")
    parser.add_argument("--lines", action="store_true", help="print what the demo prints")
    arguments = parser.parse_args()
    subprocess.run([sys.executable, "demo/model.py"], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    print(f"{'start':<8}{'page':>8}{'inference':>12}   self-test")
    with data_folder() as data:
        for number in range(arguments.starts):
            started = time.monotonic()
            demo = start_demo(data, INFERENCE_SELFTEST_RESULTS=str(data / "selftest"))
            with ThreadPoolExecutor(2) as pool:
                page = pool.submit(seconds_until, started, demo.webapp + PAGE, demo)
                inference = pool.submit(seconds_until, started, demo.inference + "/health", demo, "ready")
            selftest = json.loads(get(demo.inference + "/health") or b"{}").get("selftest", {})
            checks = selftest.get("checks", [])
            remembered = sum(check["measured_at"] is not None for check in checks)
            print(
                f"{'cold' if number == 0 else 'warm':<8}{page.result():>7.1f}s{inference.result():>11.1f}s"
                f"   {selftest.get('state')}, {remembered} of {len(checks)} checks remembered",
                flush=True,
            )
            while number + 1 < arguments.starts and not embedded(demo):
                time.sleep(1)
            if arguments.lines:
                print("\n".join(demo.lines))
            demo.end()


if __name__ == "__main__":
    main()
