"""Time the feature page and the search by meaning of a running webapp (`make demo`).

Prints the medians of three rounds of the server's time (Server-Timing) and the client's, the 95th percentile and the
largest body. The client is a separate process over loopback with one kept-alive connection. Every request has another
feature or query; only the connection is warmed up.
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
class Sample:
    """Milliseconds measured by the client and by the server (Server-Timing), and bytes of the body."""

    client: float
    server: float
    size: int


def request(client: httpx.Client, method: str, path: str, **options: Any) -> Sample:
    start = time.perf_counter()
    response = client.request(method, path, **options)
    milliseconds = 1000 * (time.perf_counter() - start)
    response.raise_for_status()
    server = float(response.headers["Server-Timing"].rpartition("dur=")[2])
    return Sample(milliseconds, server, len(response.content))


def summary(name: str, rounds: list[list[Sample]]) -> str:
    """One printed line: medians over rounds, p95, largest body."""
    server = statistics.median(statistics.median(sample.server for sample in samples) for samples in rounds)
    client = statistics.median(statistics.median(sample.client for sample in samples) for samples in rounds)
    times = sorted(sample.server for samples in rounds for sample in samples)
    largest = max(sample.size for samples in rounds for sample in samples)
    p95 = times[int(0.95 * len(times))]
    return f"{name}: server {server:.1f} ms (p95 {p95:.1f}), client {client:.1f} ms, at most {largest:,} bytes"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--webapp", default="http://127.0.0.1:3000")
    parser.add_argument("--model", default="smollm2-135m-it")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    generator = random.Random(args.seed)
    features = [f"/{args.model}/{source}/{index}" for source in SOURCES for index in generator.sample(range(4096), 200)]
    generator.shuffle(features)
    queries = [shape.format(a, b) for shape in SHAPES for a in SUBJECTS for b in SUBJECTS if a != b]
    generator.shuffle(queries)
    with httpx.Client(base_url=args.webapp, timeout=60) as client:
        request(client, "GET", "/")
        pages = [[request(client, "GET", features.pop()) for _ in range(100)] for _ in range(3)]
        print(summary("dashboard", pages))
        searches = [
            [request(client, "GET", "/search-explanations", params={"q": queries.pop()}) for _ in range(50)]
            for _ in range(3)
        ]
        print(summary("search by meaning, page", searches))
        body = {"modelId": args.model}
        api_searches = [
            [
                request(client, "POST", "/api/explanation/search-model", json=body | {"query": queries.pop()})
                for _ in range(50)
            ]
            for _ in range(3)
        ]
        print(summary("search by meaning, JSON", api_searches))


if __name__ == "__main__":
    main()
