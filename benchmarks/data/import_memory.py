"""Peak memory of the worker during two imports of a large source in the public layout, conversion included.

    .venv/bin/python benchmarks/data/import_memory.py
    .venv/bin/python benchmarks/data/import_memory.py --features 16384 --examples 45

Makes up a source of random values on the demo's texts (`public_layout.py`) with an explanation of each feature, and
imports it by a worker of its own; then again with other explanations, which replace the first ones.
"""

import argparse
import tempfile
import time
from pathlib import Path

import httpx
import psutil
import public_layout
from memicos_testing.webapp.imports.import_server import ImportServer


def peak(pid: int) -> int:
    """Largest resident memory that a process has had, in bytes (Linux)."""
    (line,) = (own for own in Path(f"/proc/{pid}/status").read_text().splitlines() if own.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


def measure(folder: Path, features: int, examples: int) -> None:
    source = public_layout.make_source(folder, features, examples)
    size = sum(path.stat().st_size for path in source.rglob("*.gz"))
    print(
        f"{features:,} features with {examples} examples each, {size / 2**20:,.0f} MiB of compressed files", flush=True
    )
    with (
        ImportServer.running(folder / "data", folder) as server,
        httpx.Client(base_url=server.address, timeout=600) as client,
    ):
        worker = psutil.Process(server.processes["worker"].pid)
        print(f"the idle worker: {peak(worker.pid) / 2**20:,.0f} MiB", flush=True)
        for model in ("first", "second"):
            public_layout.write_explanations(source, features, model)
            print(f"import with explanations by the {model} model:")
            _import(client, source, worker, features)


def _import(client: httpx.Client, source: Path, worker: psutil.Process, features: int) -> None:
    """Import the source, and print the worker's peak until the end of each stage."""
    started = time.monotonic()
    body = {"location": str(source), "layers": 64, "dModel": 4096, "vocabularySize": 1 << 20}
    job = client.post("/api/admin/imports", json=body).raise_for_status().json()["id"]
    state, stages = {"state": "queued"}, dict[str, float]()
    while state["state"] in ("queued", "running"):
        time.sleep(0.2)
        state = client.get(f"/api/admin/jobs/{job}").raise_for_status().json()["job"]
        stages[state["stage"] or "end"] = peak(worker.pid) / 2**20
    seconds = time.monotonic() - started
    if state["state"] != "done":
        raise SystemExit(f"the import ended: {state}")
    for stage, mebibytes in stages.items():
        print(f"until the end of '{stage}': {mebibytes:,.0f} MiB")
    print(f"{seconds:.0f} s, {features / seconds:,.0f} features/s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory of the worker during an import.")
    parser.add_argument("--features", type=int, default=131_072)
    parser.add_argument("--examples", type=int, default=10, help="of each feature")
    parser.add_argument("--folder", type=Path, help="where the files are made, with space for them; default: temporary")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        measure(Path(folder), args.features, args.examples)


if __name__ == "__main__":
    main()
