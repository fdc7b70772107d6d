"""`memicos explain` on 10,000 features with a local provider that takes 5,000 requests a minute.

Prints the share of the limit that is used, the largest memory, and what is paid when the command is killed five times.
The provider is a process of its own: it answers after 0.4 s, and answers 429 where the last 60 seconds had as many
requests as the limit. Its answers depend on the request alone, so that datasets can be compared. Takes about 5 minutes.
"""

import argparse
import asyncio
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

import psutil
from memicos_dataset import read
from memicos_testing.webapp.small_dataset import write_dataset

ROOT = Path(__file__).resolve().parents[2]
LATENCY = 0.4
WINDOW = 60.0
CONCURRENCY = 64


class LimitedProvider:
    """OpenAI's chat completions over asyncio streams, with a limit of requests in every window of 60 seconds."""

    def __init__(self, per_minute: int) -> None:
        self._limit = per_minute
        self._recent: deque[float] = deque()
        self.prompts: Counter[str] = Counter()
        self.times: list[float] = []
        self.refused = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                body = json.loads(await reader.readexactly(int(length[1]) if length else 0))
                status, answer, headers = await self._answer(body)
                payload = json.dumps(answer).encode()
                lines = [f"HTTP/1.1 {status} X", "Content-Type: application/json", f"Content-Length: {len(payload)}"]
                writer.write("\r\n".join([*lines, *headers, "", ""]).encode() + payload)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, body: Any) -> tuple[int, Any, list[str]]:
        now = time.monotonic()
        while self._recent and self._recent[0] <= now - WINDOW:
            self._recent.popleft()
        if len(self._recent) >= self._limit:
            self.refused += 1
            wait = self._recent[0] + WINDOW - now
            return 429, {"error": {"message": "too many requests"}}, [f"retry-after-ms: {1000 * wait:.0f}"]
        self._recent.append(now)
        self.times.append(now)
        prompt = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        # paid from here on, whether the client gets the answer or not
        self.prompts[prompt] += 1
        await asyncio.sleep(LATENCY)
        words = sum(len(message["content"]) for message in body["messages"]) // 4
        message = {"role": "assistant", "content": f"EXPLANATION: texts of the kind {prompt[:12]}"}
        usage = {"prompt_tokens": words, "completion_tokens": 12, "total_tokens": words + 12}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        return 200, {"id": "1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}, []


def command(dataset: Path, profiles: Path) -> subprocess.Popen[str]:
    code = "from memicos_cli.main import app; app()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "explain", str(dataset), "--profile", "local", "--budget", "1000"],
        env={**os.environ, "AUTOINTERP_PROFILES_FILE": str(profiles)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def descriptions(dataset: Path) -> list[tuple[int, str]]:
    manifest = read.read_manifest(dataset)
    read.verify(dataset, manifest)
    source = manifest.source_set.sources[0]
    rows = [row for batch in read.explanations(dataset, source) for row in batch.to_pylist()]
    return sorted((row["index"], row["description"]) for row in rows if row["model"] == "m")


async def run(dataset: Path, profiles: Path, memory: list[tuple[int, int]], provider: LimitedProvider) -> str:
    """Run the command to its end; notes (requests so far, resident bytes) every second."""
    process = command(dataset, profiles)
    reading = asyncio.create_task(asyncio.to_thread(process.communicate))
    while not reading.done():
        if process.poll() is None:
            memory.append((len(provider.times), psutil.Process(process.pid).memory_info().rss))
        await asyncio.wait({reading}, timeout=1)
    return (await reading)[0]


async def main(features: int, limit: int, kills: int, seed: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_dataset(folder / "data", layers=(1,), features=features, contexts=400)
        shutil.copytree(folder / "data", folder / "killed")
        provider = LimitedProvider(limit)
        profiles = folder / "profiles.toml"
        profiles.write_text(
            f'[local]\nbase_url = "{await provider.start()}"\nneeds_key = false\nmodels = ["m"]\n'
            f"limits = {{ concurrency = {CONCURRENCY}, requests_per_minute = {limit} }}\n"
            "prices = { m = { input = 0.4, output = 1.6 } }\n"
        )
        memory: list[tuple[int, int]] = []
        output = await run(folder / "data", profiles, memory, provider)
        print(output.strip().splitlines()[-2])
        seconds = provider.times[-1] - provider.times[0]
        rate = (len(provider.times) - 1) / seconds * 60
        asked = len(provider.prompts)
        print(f"{len(provider.times):,} requests in {seconds:.1f} s: {rate:,.0f} a minute, {rate / limit:.1%} of it")
        load = os.getloadavg()[0]
        print(f"refused: {provider.refused}; distinct requests: {asked:,}; load of the machine: {load:.1f}")
        print("memory by requests, and at the most, while the dataset is written:", end="")
        for share in (0.1, 0.25, 0.5, 0.75, 0.99):
            print(f" {share:.0%} {next(rss for done, rss in memory if done >= share * asked) / 2**20:.0f} MiB,", end="")
        print(f" {max(rss for _, rss in memory) / 2**20:.0f} MiB")
        undisturbed = descriptions(folder / "data")

        provider.prompts.clear()
        provider.times.clear()
        generator = random.Random(seed)
        in_flight = 0
        for _ in range(kills):
            target = len(provider.times) + generator.randrange(features // (kills + 2))
            process = command(folder / "killed", profiles)
            while len(provider.times) <= target:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            before = len(provider.times)
            process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(process.communicate)
            await asyncio.sleep(LATENCY)
            print(f"killed after {before:,} requests")
            in_flight += CONCURRENCY
        await run(folder / "killed", profiles, [], provider)
        paid = sum(provider.prompts.values())
        equal = descriptions(folder / "killed") == undisturbed
        print(f"killed {kills} times: {paid:,} paid requests, {paid - asked} more than undisturbed")
        print(f"at most {in_flight} were in flight at the kills; results equal: {equal}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=10_667, help="one in 16 is dead: 10,000 live ones")
    parser.add_argument("--limit", type=int, default=5000, help="requests a minute")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.features, arguments.limit, arguments.kills, arguments.seed))
