"""A provider's answer of a few hundred kilobytes that decompresses to a gigabyte: how much memory it takes.

    python benchmarks/hardening/compressed_answers.py

A local provider answers with gzip. Printed: how much the peak memory of a client grows that decompresses answers whole,
as the openai library does by itself, and that of the autointerp server, with the status and the seconds of its answer.
"""

import argparse
import subprocess
import sys
import time
import zlib
from pathlib import Path

import httpx
import psutil
from memicos_testing.llm_provider import LlmProvider, Reply
from memicos_testing.programs import environment
from memicos_testing.servers import free_port

UNLIMITED = """
import resource, sys, httpx2
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
httpx2.post(sys.argv[1] + "/chat/completions", json={}, timeout=120)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
BODY = {"activations": [{"tokens": ["the", " sea"], "values": [0.0, 1.0]}]}
START_SECONDS = 60


def compressed(megabytes: int) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    parts = [compressor.compress(b" " * 1_000_000) for _ in range(megabytes)]
    return b"".join([*parts, compressor.flush()])


def peak_bytes(process: psutil.Process) -> int:
    """Largest resident memory of the process so far; where the system does not tell it, the present one."""
    info = process.memory_info()
    try:
        with Path(f"/proc/{process.pid}/status").open() as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except OSError:
        return info.rss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000, help="size of the decompressed answer")
    args = parser.parse_args()
    answer = compressed(args.megabytes)
    print(f"an answer of {len(answer) / 1e6:.2f} MB, decompressed {args.megabytes:,} MB")
    port = free_port()
    with LlmProvider() as provider:
        provider.default = Reply(body=answer, headers={"Content-Encoding": "gzip"})
        done = subprocess.run(
            [sys.executable, "-c", UNLIMITED, provider.base_url], capture_output=True, text=True, check=True
        )
        print(f"a client without a limit: its memory grows by {int(done.stdout) * 1024 / 1e6:,.0f} MB", flush=True)
        variables = {"AUTOINTERP_PORT": str(port), "AUTOINTERP_BASE_URL": provider.base_url, "AUTOINTERP_API_KEY": "k"}
        process = subprocess.Popen(
            [sys.executable, "-m", "memicos_autointerp"], env=environment() | variables, stderr=subprocess.DEVNULL
        )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_served(url, process)
            before = peak_bytes(psutil.Process(process.pid))
            begin = time.monotonic()
            response = httpx.post(f"{url}/v1/explain/default", json=BODY, timeout=120)
            grown = peak_bytes(psutil.Process(process.pid)) - before
            print(
                f"autointerp: its memory grows by {grown / 1e6:,.1f} MB; {response.status_code} after "
                f"{time.monotonic() - begin:.2f} s: {response.json()['error']}"
            )
        finally:
            process.terminate()
            process.wait(30)


def wait_until_served(url: str, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            httpx.get(f"{url}/health", timeout=5)
            return
        except httpx.TransportError:
            if process.poll() is not None or time.monotonic() > end:
                sys.exit("the autointerp server did not start")
            time.sleep(0.1)


if __name__ == "__main__":
    main()
