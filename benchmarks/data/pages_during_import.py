"""Time of pages while the worker imports at full speed, beside that of an idle server.

    .venv/bin/python benchmarks/data/pages_during_import.py
    .venv/bin/python benchmarks/data/pages_during_import.py --public    # conversion of the public layout included

Starts webapp, worker and the embedded PostgreSQL on a new folder, imports the demo's dataset, and requests dashboards
of random features, one after the other: first idle, then while the worker imports versions of the same dataset again
and again. Prints median and 95th percentile of the client's time over loopback, in milliseconds.
"""

import argparse
import random
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path

import httpx
from memicos_dataset.conversion.conversion_folder import Options
from memicos_dataset.conversion.public import to_public
from memicos_dataset.read import read_manifest
from memicos_testing.webapp.imports.import_server import ImportServer

DEMO = Path(__file__).parents[2] / "demo" / "dataset"
PAUSE_SECONDS = 0.02
"""Between two requests, as of several readers."""


def run_import(client: httpx.Client, body: dict[str, object]) -> None:
    """Import and wait for the end."""
    job = client.post("/api/admin/imports", json=body).raise_for_status().json()["id"]
    while True:
        state = client.get(f"/api/admin/jobs/{job}").raise_for_status().json()["job"]
        if state["state"] == "done":
            return
        if state["state"] in ("failed", "cancelled"):
            raise SystemExit(f"the import ended: {state}")
        time.sleep(0.5)


def requests(client: httpx.Client, pages: list[str], running: threading.Event | None, seconds: float) -> list[float]:
    """Milliseconds of requests during `seconds`, of those only that begin and end while `running`, if it is given."""
    times, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        counted = running is None or running.is_set()
        started = time.perf_counter()
        client.get(random.choice(pages)).raise_for_status()
        milliseconds = 1000 * (time.perf_counter() - started)
        if counted and (running is None or running.is_set()):
            times.append(milliseconds)
        time.sleep(PAUSE_SECONDS)
    return times


def summary(times: list[float]) -> tuple[float, float]:
    """Median and 95th percentile."""
    return statistics.median(times), statistics.quantiles(times, n=20)[-1]


def measure(folder: Path, public: bool, seconds: float) -> None:
    dataset, manifest = folder / "dataset", read_manifest(DEMO)
    shutil.copytree(DEMO, dataset)
    pages = [
        f"/{manifest.model.id}/{own.id}/{index}" for own in manifest.source_set.sources for index in range(0, 4096, 7)
    ]
    body: dict[str, object] = {"location": str(dataset)}
    if public:
        to_public(DEMO, folder / "public", Options(), lambda line: None)
        body |= {"layers": manifest.model.layers, "dModel": manifest.model.d_model}
        body |= {"vocabularySize": manifest.model.vocabulary_size}
    with (
        ImportServer.running(folder / "data", folder) as server,
        httpx.Client(base_url=server.address, timeout=60) as c,
    ):
        run_import(c, {"location": str(dataset)})
        running, stop = threading.Event(), threading.Event()
        imports = 0

        def import_again_and_again() -> None:
            nonlocal imports
            with httpx.Client(base_url=server.address, timeout=60) as own:
                while not stop.is_set():
                    manifest.source_set.description = f"version {imports}"
                    manifest.write(dataset)
                    if public:
                        shutil.rmtree(folder / "public")
                        to_public(dataset, folder / "public", Options(), lambda line: None)
                        body["location"] = str(folder / "public" / "v1" / manifest.model.id)
                    running.set()
                    run_import(own, body)
                    running.clear()
                    imports += 1

        requests(c, pages, None, 3)
        idle = summary(requests(c, pages, None, seconds))
        thread = threading.Thread(target=import_again_and_again)
        thread.start()
        try:
            times = requests(c, pages, running, seconds)
        finally:
            stop.set()
            thread.join()
        importing = summary(times)
    print(f"idle: median {idle[0]:.1f} ms, p95 {idle[1]:.1f} ms")
    print(
        f"during {imports} imports, {len(times)} pages: median {importing[0]:.1f} ms, p95 {importing[1]:.1f} ms; "
        f"{importing[0] / idle[0]:.2f}x the idle median"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Time of pages during an import.")
    parser.add_argument("--public", action="store_true", help="import the public layout")
    parser.add_argument("--seconds", type=float, default=30, help="of each of the two measurements")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), args.public, args.seconds)


if __name__ == "__main__":
    main()
