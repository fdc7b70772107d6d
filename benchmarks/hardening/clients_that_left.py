"""Work at inference for clients that disconnect from the webapp before their response, without a stream.

Runs the demo. For each route a client sends a request, disconnects after a second, and the benchmark waits until
inference has no request and no text left. Printed: seconds from the connection's end until then, seconds of the whole
request where its client waits, and the status that the webapp logs. A request that is not complete within `--limit`
seconds is printed as longer, and a loaded machine thus ends the benchmark as well.
"""

import argparse
import contextlib
import re
import subprocess
import sys
import time
from typing import Any

import httpx
from memicos_testing.demo_program import ROOT, Demo, data_folder, start_demo
from memicos_testing.inference_metrics import parse_metric

MODEL = "smollm2-135m-it"
SOURCE_SET = "res-4k"
FEATURE = {"modelId": MODEL, "layer": f"15-{SOURCE_SET}", "index": 2477, "strength": 4}
STEERING = {"modelId": MODEL, "features": [FEATURE], "n_tokens": 200, "temperature": 1, "seed": 3}


def request_body(route: str, number: int) -> dict[str, Any]:
    """A request that takes seconds, different for each number: inference keeps what it has computed."""
    text = " ".join(f"The whale number {number} rose from the sea {n} times." for n in range(12))
    if route == "/api/steer":
        return {**STEERING, "prompt": text}
    if route == "/api/steer-chat":
        messages = [{"role": "user", "content": text}]
        return {**STEERING, "defaultChatMessages": messages, "steeredChatMessages": messages}
    return {"modelId": MODEL, "sourceSet": SOURCE_SET, "text": text, "numResults": 50}


def is_idle(inference: str) -> bool:
    text = httpx.get(f"{inference}/metrics", timeout=60).text
    waiting = parse_metric(text, "waiting")
    return not any(waiting.values()) and not parse_metric(text, "rows").get("")


def seconds_until_idle(inference: str) -> float:
    begin = time.monotonic()
    while not is_idle(inference):
        time.sleep(0.01)
    return time.monotonic() - begin


def seconds_of_request(demo: Demo, route: str, number: int, limit: float) -> float:
    """Seconds of a whole request, at most `limit`: its client then leaves."""
    begin = time.monotonic()
    with contextlib.suppress(httpx.ReadTimeout):
        response = httpx.post(f"{demo.webapp}{route}", json=request_body(route, number), timeout=limit)
        if response.status_code != 200:
            sys.exit(f"{route}: {response.status_code} {response.text[:500]}")
    return time.monotonic() - begin


def seconds_after_client(demo: Demo, route: str, number: int, leave_after: float) -> float:
    """Seconds of work after a client has disconnected."""
    with contextlib.suppress(httpx.ReadTimeout):
        httpx.post(f"{demo.webapp}{route}", json=request_body(route, number), timeout=leave_after)
    return seconds_until_idle(demo.inference)


def logged_status(demo: Demo, route: str) -> str:
    """Status of the last request of the webapp's log."""
    time.sleep(1)
    lines = [line for line in demo.lines if f"route={route} " in line]
    match = re.search(r"status=(\d+)", lines[-1])
    return match[1] if match else "?"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=60, help="longest time of a whole request")
    args = parser.parse_args()
    subprocess.run([sys.executable, "demo/model.py"], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    with data_folder() as folder:
        # checks of the self-test that its time limit left out, as on a busy machine, would be run in between and be
        # counted as work of a client
        without = {"MEMICOS_EMBED_EVERY_SECONDS": "0", "INFERENCE_SELFTEST_IDLE_SECONDS": "0"}
        demo = start_demo(folder, MEMICOS_LOG_REQUESTS="1", **without)
        try:
            demo.wait_for("inference is ready")
            while httpx.get(f"{demo.webapp}/health").json()["inference"][0]["state"] != "ready":
                time.sleep(0.2)
            print("route             whole s  after the client left s  status")
            for route in ("/api/steer", "/api/steer-chat", "/api/search-all"):
                for number in range(args.rounds):
                    whole = seconds_of_request(demo, route, 2 * number, args.limit)
                    seconds_until_idle(demo.inference)
                    after = seconds_after_client(demo, route, 2 * number + 1, min(1, whole / 3))
                    length = f"{'>' if whole >= args.limit else ''}{whole:.2f}"
                    print(f"{route:<17} {length:<8} {after:<24.2f} {logged_status(demo, route)}", flush=True)
        finally:
            demo.end()


if __name__ == "__main__":
    main()
