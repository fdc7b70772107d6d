"""Load-test an inference server with many concurrent clients, some of which disconnect, and check for leaks.

`make soak`: 10,000 requests of the small model (glassllm, 0.85M parameters) and 500 of the demo's, each on a
separate server with tight limits. Responses must equal those of single requests; afterwards no row, thread, task or
open file may remain, and memory must not grow. One client is stopped (SIGSTOP) in the middle of a stream and must not
delay other clients.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parent.parent
WORDS = "Alice Rabbit sat bank of the a and Queen tea Hatter said ran hole clock cat smile garden rose key".split()  # noqa: SIM905
CLIENTS = 24
CHECKS = 20
"""Number of memory readings."""
ALLOWED_GROWTH, ALLOWED_BYTES = 0.03, 24 * 2**20
"""Accepted growth from the second quarter to the last, the larger of the two: malloc's reserve varies by megabytes."""

THREADS_TO_COME = 2
"""The thread pool for /metrics grows with the number of concurrent requests."""


@dataclass(frozen=True)
class Subject:
    """A model under test: its server's environment, the sources of one set, and the largest completion in tokens."""

    name: str
    env: dict[str, str]
    source_set: str
    sources: list[str]
    features: int
    tokens: int


@dataclass
class Resources:
    """The server's resources at one time."""

    rows: float
    waiting: float
    tasks: float
    threads: int
    files: int
    resident: int


@dataclass
class Report:
    answers: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)


def small_subject(folder: Path) -> Subject:
    from memicos_testing.models.small_model import NAME, small_model, small_sae

    small_model(folder / NAME)
    for layer in (1, 2, 3):
        small_sae(folder / "sources" / f"{layer}-small", layer, 96, seed=layer)
    env = {
        "MODEL_ID": NAME,
        "CUSTOM_HF_MODEL_ID": str(folder / NAME),
        "SAE_FOLDER": str(folder / "sources"),
        "SAE_SETS": '["small"]',
        "TOKEN_LIMIT": "120",
        "MAX_LOADED_SAES": "3",
        "INFERENCE_MAX_ROWS": "12",
        "INFERENCE_MAX_WAITING": "14",
        "INFERENCE_TEXT_CACHE_BYTES": str(2**18),
        "INFERENCE_RESIDUAL_CACHE_BYTES": str(2**20),
    }
    return Subject(NAME, env, "small", [f"{layer}-small" for layer in (1, 2, 3)], 96, 40)


def demo_subject() -> Subject:
    name = "smollm2-135m-it"
    env = {"INFERENCE_RESIDUAL_CACHE_BYTES": str(8 * 2**20), "INFERENCE_MAX_ROWS": "12"}
    file = ROOT / f".env.inference.{name}.res-4k"
    lines = [line.partition("=") for line in file.read_text().splitlines() if "=" in line and line[0] != "#"]
    env = {name: value.strip("'\"") for name, _, value in lines} | env
    return Subject(name, env, "res-4k", ["7-res-4k", "15-res-4k", "23-res-4k"], 4096, 12)


@contextmanager
def server(subject: Subject) -> Iterator[tuple[str, psutil.Process]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = os.environ | subject.env | {"INFERENCE_PORT": str(port), "INFERENCE_LOG_REQUESTS": "0"}
    process = subprocess.Popen([sys.executable, "-m", "memicos_inference"], cwd=ROOT, env=env)
    try:
        url, begun = f"http://127.0.0.1:{port}", time.monotonic()
        while not _ready(url):
            if process.poll() is not None or time.monotonic() - begun > 300:
                sys.exit("soak: the server did not start")
            time.sleep(0.2)
        yield url, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).json()["ready"]
    except httpx.TransportError:
        return False


def request(subject: Subject, draw: random.Random) -> tuple[str, dict[str, Any]]:
    """A random request with a random prompt."""
    prompt = " ".join(draw.choices(WORDS, k=draw.randrange(2, 30)))
    source, index = draw.choice(subject.sources), draw.randrange(subject.features)
    base = {"model": subject.name, "prompt": prompt}
    steer = base | {
        "types": draw.choice((["STEERED", "DEFAULT"], ["STEERED"], ["DEFAULT"])),
        "features": [{"model": subject.name, "source": source, "index": index, "strength": draw.choice((1, 4, 20))}],
        "n_completion_tokens": draw.randrange(1, subject.tokens),
        "temperature": draw.choice((0, 1.5)),
        "seed": draw.randrange(3),
        "stream": draw.random() < 0.6,
    }
    steer |= {"stream_deltas": steer["stream"] and draw.random() < 0.5}
    chat = [{"role": "user", "content": prompt}]
    return draw.choice(
        (
            ("/v1/activation/single", base | {"source": source, "index": index}),
            ("/v1/activation/all", base | {"source_set": subject.source_set, "num_results": 5}),
            ("/v1/activation/topk-by-token", base | {"source": source}),
            ("/v1/activation/source", {"model": subject.name, "prompts": [prompt, prompt[:9]], "source": source}),
            ("/v1/activation/raw", {"prompts": [prompt], "layers": [1]}),
            ("/v1/tokenize", {"text": prompt, "prepend_bos": True, "model": subject.name}),
            ("/v1/steer/completion", steer),
            ("/v1/steer/completion", steer),
            ("/v1/steer/completion-chat", steer | {"prompt": chat}),
        )
    )


def invalid(body: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """A body that the server has to refuse."""
    mistyped = {"model": 7, "prompt": 7, "prompts": 7, "text": 7}
    return draw.choice((body | {"model": "nobody's", "prompts": []}, {"source_set": "a"}, body | mistyped))


async def complete_request(
    http: httpx.AsyncClient, path: str, body: dict[str, Any], draw: random.Random, report: Report
) -> None:
    """Read the response to its end; wait briefly if the server is busy."""
    response = await http.post(path, json=body)
    report.answers[str(response.status_code)] += 1
    if response.status_code == 200 and body.get("stream"):
        if "event: error" in response.text or '"finished"' not in response.text.rstrip().rpartition("\n\n")[2]:
            report.problems.append(f"a stream did not complete: {response.text[-300:]}")
    elif response.status_code == 503:
        if response.json()["cause"] != "busy" or "retry-after" not in response.headers:
            report.problems.append(f"503: {response.text[:300]}")
        await asyncio.sleep(draw.uniform(0, 0.1))
    elif response.status_code != 200:
        report.problems.append(f"{path} {response.status_code}: {response.text[:300]}")


async def disrupt(
    http: httpx.AsyncClient, path: str, body: dict[str, Any], draw: random.Random, report: Report
) -> None:
    """Disconnect while waiting, in a stream or in the request itself, or send an invalid body."""
    way = draw.randrange(4)
    if way == 0:
        with suppress(TimeoutError):
            async with asyncio.timeout(draw.uniform(0, 0.2)):
                await http.post(path, json=body)
        report.answers["disconnected"] += 1
    elif way == 1:
        async with http.stream("POST", path, json=body) as response:
            async for _ in response.aiter_bytes(chunk_size=64):
                if draw.random() < 0.2:
                    break
        report.answers["disconnected in a response"] += 1
    elif way == 2:
        await _half_a_request(str(http.base_url), path, json.dumps(body).encode())
        report.answers["disconnected in a request"] += 1
    else:
        response = await http.post(path, json=invalid(body, draw))
        report.answers[f"invalid: {response.status_code}"] += 1
        if response.status_code not in (400, 422, 503):
            report.problems.append(f"an invalid request to {path} got {response.status_code}: {response.text[:300]}")


async def _half_a_request(url: str, path: str, body: bytes) -> None:
    target = urlsplit(url)
    _, writer = await asyncio.open_connection(target.hostname, target.port)
    head = f"POST {path} HTTP/1.1\r\nHost: {target.netloc}\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[: len(body) // 2])
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def measure(http: httpx.AsyncClient, process: psutil.Process) -> Resources:
    text = (await http.get("/metrics")).text
    metrics = {
        (sample.name.removeprefix("memicos_inference_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    waiting = sum(metrics["waiting", kind] for kind in ("new", "capture", "text", "answer"))
    with process.oneshot():
        return Resources(
            metrics[("rows",)],
            waiting,
            metrics[("tasks",)],
            process.num_threads(),
            process.num_fds(),
            process.memory_info().rss,
        )


async def settled(http: httpx.AsyncClient, process: psutil.Process, before: Resources) -> Resources:
    """Wait, at most 30 s, until the resources are those of `before`; idle pool threads may remain."""
    for _ in range(60):
        now = await measure(http, process)
        if not now.rows and not now.waiting and now.tasks <= before.tasks and now.files <= before.files:
            break
        await asyncio.sleep(0.5)
    return await measure(http, process)


async def known_answers(http: httpx.AsyncClient, subject: Subject) -> list[tuple[str, dict[str, Any], Any]]:
    """Activation requests with the responses of an idle server."""
    draw, known = random.Random(1), []
    while len(known) < 12:
        path, body = request(subject, draw)
        if path.startswith("/v1/activation") and "topk" not in path and "source" not in path:
            known.append((path, body, (await http.post(path, json=body)).json()))
    return known


async def run_clients(url: str, process: psutil.Process, subject: Subject, n: int, report: Report) -> None:
    from memicos_testing.json_bodies.same_json import alike

    remaining = n
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        known = await known_answers(http, subject)

    async def client(number: int) -> None:
        nonlocal remaining
        draw = random.Random(number)
        async with httpx.AsyncClient(base_url=url, timeout=60, headers={"X-Client-ID": str(number)}) as http:
            while remaining > 0:
                remaining -= 1
                if remaining % max(1, n // CHECKS) == 0:
                    report.resident.append(process.memory_info().rss)
                kind = draw.random()
                if kind < 0.1:
                    path, body, expected = draw.choice(known)
                    response = await http.post(path, json=body)
                    report.answers[f"known: {response.status_code}"] += 1
                    if response.status_code != 503 and not alike(response.json(), expected, 1e-3, 1e-2):
                        report.problems.append(
                            f"{path} of {body}: differs from the single request: {response.text[:300]}"
                        )
                elif kind < 0.35:
                    await disrupt(http, *request(subject, draw), draw, report)
                else:
                    await complete_request(http, *request(subject, draw), draw, report)

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))


@asynccontextmanager
async def stopped_client(url: str, subject: Subject) -> AsyncIterator[None]:
    """A process that reads the start of a long stream and is then stopped; killed at the end."""
    body = {
        "model": subject.name,
        "prompt": "Alice sat",
        "types": ["STEERED", "DEFAULT"],
        "features": [{"model": subject.name, "source": subject.sources[0], "index": 3, "strength": 1}],
        "n_completion_tokens": 80,
        "temperature": 50,
        "n_logprobs": 10,
        "stream": True,
    }
    program = (
        "import httpx, sys\n"
        "with httpx.stream('POST', sys.argv[1], content=sys.argv[2], timeout=600) as answer:\n"
        "    for part in answer.iter_bytes(64):\n"
        "        print(len(part), flush=True)\n"
    )
    command = [sys.executable, "-c", program, f"{url}/v1/steer/completion", json.dumps(body)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        await process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        yield
    finally:
        process.kill()
        await process.wait()


async def streams(url: str, subject: Subject) -> float:
    """Duration in seconds of eight concurrent streams."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:

        async def read_stream(number: int) -> None:
            body = {
                "model": subject.name,
                "prompt": f"Alice {number}",
                "types": ["DEFAULT"],
                "features": [],
                "n_completion_tokens": 30,
                "temperature": 50,
                "seed": random.randrange(10**6),
                "stream": True,
            }
            response = await http.post("/v1/steer/completion", json=body)
            assert response.status_code == 200, response.text

        begun = time.perf_counter()
        await asyncio.gather(*(read_stream(number) for number in range(8)))
        return time.perf_counter() - begun


async def soak(subject: Subject, n: int) -> list[str]:
    """Run all checks and return the problems; print figures."""
    report = Report()
    with server(subject) as (url, process):
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            await run_clients(url, process, subject, max(50, n // 20), Report())  # warm-up: fills pools and caches
            before = await settled(http, process, await measure(http, process))
            begun = time.monotonic()
            await run_clients(url, process, subject, n, report)
            seconds = time.monotonic() - begun
            after = await settled(http, process, before)
            alone = statistics.median([await streams(url, subject) for _ in range(3)])
            async with stopped_client(url, subject):
                beside_stopped = statistics.median([await streams(url, subject) for _ in range(3)])
            end = await settled(http, process, before)
    counts = ", ".join(f"{name}: {count}" for name, count in sorted(report.answers.items()))
    print(f"{subject.name}: {n} requests in {seconds:.0f} s ({counts})")
    middle = statistics.median(report.resident[len(report.resident) // 4 : len(report.resident) // 2])
    last = statistics.median(report.resident[-len(report.resident) // 4 :])
    print(f"memory {middle / 2**20:.0f} MiB in the second quarter, {last / 2**20:.0f} MiB in the last")
    print(f"before: {before}\nafter:  {after}\nend:    {end}")
    print(f"8 streams {alone:.2f} s; beside a stopped client {beside_stopped:.2f} s", flush=True)
    problems = list(report.problems)
    if last - middle > max(ALLOWED_GROWTH * middle, ALLOWED_BYTES):
        problems.append(f"memory grew by {(last - middle) / 2**20:.0f} MiB")
    for name, now in (("after", after), ("end", end)):
        if now.rows or now.waiting or now.tasks > before.tasks or now.files > before.files:
            problems.append(f"leak: {name} {now}, before {before}")
        if now.threads > before.threads + THREADS_TO_COME:
            problems.append(f"threads: {now.threads}, {before.threads} before")
    if beside_stopped > 2 * alone + 1:
        problems.append("a stopped client delays others")
    return problems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=10_000, help="number of requests to the small model")
    parser.add_argument("--demo", type=int, default=500, help="number of requests to the demo's model")
    arguments = parser.parse_args()
    problems: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        if arguments.small:
            problems += asyncio.run(soak(small_subject(Path(folder)), arguments.small))
        if arguments.demo:
            problems += asyncio.run(soak(demo_subject(), arguments.demo))
    if problems:
        sys.exit("\n".join([f"{len(problems)} problems:", *problems[:20]]))
    print("No leaks.")


if __name__ == "__main__":
    main()
