"""How long a dashboard and a search by meaning take, with `make demo` running beside.

The client is a process of its own over loopback, on one kept-alive connection. Every request asks for another feature
or another query; nothing is warmed up but the connection. Three rounds, medians.
"""

import argparse
import random
import statistics
import time
from dataclasses import dataclass
from typing import Any

import httpx

SOURCES = ("7-res-4k", "15-res-4k", "23-res-4k")
SUBJECTS = (
    "numbers",
    "dates",
    "countries",
    "code",
    "negation",
    "ships",
    "whales",
    "law",
    "family",
    "war",
    "gods",
    "rivers",
)
SHAPES = (
    "{} and {}",
    "the word {} before {}",
    "{} in lists of {}",
    "{} that speak of {}",
    "where {} meet {}",
    "not {} but {}",
    "{} of old {}",
)


@dataclass(frozen=True)
class Answer:
    """Milliseconds as the client sees them and as the server says in Server-Timing, and the body's bytes."""

    client: float
    server: float
    size: int


def ask(client: httpx.Client, method: str, path: str, **more: Any) -> Answer:
    begun = time.perf_counter()
    answer = client.request(method, path, **more)
    took = 1000 * (time.perf_counter() - begun)
    answer.raise_for_status()
    return Answer(took, float(answer.headers["Server-Timing"].rpartition("dur=")[2]), len(answer.content))


def line(name: str, rounds: list[list[Answer]]) -> str:
    server = statistics.median(statistics.median(answer.server for answer in one) for one in rounds)
    client = statistics.median(statistics.median(answer.client for answer in one) for one in rounds)
    times = sorted(answer.server for one in rounds for answer in one)
    largest = max(answer.size for one in rounds for answer in one)
    p95 = times[int(0.95 * len(times))]
    return f"{name}: server {server:.1f} ms (p95 {p95:.1f}), client {client:.1f} ms, at most {largest:,} bytes"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--webapp", default="http://127.0.0.1:3000")
    parser.add_argument("--model", default="smollm2-135m-it")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    features = [f"/{arguments.model}/{source}/{index}" for source in SOURCES for index in draw.sample(range(4096), 200)]
    draw.shuffle(features)
    queries = [shape.format(a, b) for shape in SHAPES for a in SUBJECTS for b in SUBJECTS if a != b]
    draw.shuffle(queries)
    with httpx.Client(base_url=arguments.webapp, timeout=60) as client:
        ask(client, "GET", "/")
        pages = [[ask(client, "GET", features.pop()) for _ in range(100)] for _ in range(3)]
        print(line("dashboard", pages))
        found = [
            [ask(client, "GET", "/search-explanations", params={"q": queries.pop()}) for _ in range(50)]
            for _ in range(3)
        ]
        print(line("search by meaning, page", found))
        body = {"modelId": arguments.model}
        answers = [
            [
                ask(client, "POST", "/api/explanation/search-model", json=body | {"query": queries.pop()})
                for _ in range(50)
            ]
            for _ in range(3)
        ]
        print(line("search by meaning, JSON", answers))


if __name__ == "__main__":
    main()
