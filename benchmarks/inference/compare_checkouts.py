"""Time the inference server of this checkout against that of another checkout, in turns.

Both servers run at once with their caches off, on the same model, sources and prompts; only one of them computes at a
time, so noise of the machine meets both alike. Prints the median of five rounds for each kind of request: the latency
of one client, and the wall time of 16 clients (steering: 8 clients). Each checkout needs its own environment
(`make setup`) and the model of the demo under `.data/models`.
"""

import argparse
import asyncio
import random
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
from baseline import KINDS, MODEL, prompts, seconds, server
from transformers import AutoTokenizer

ROUNDS = 5
SEQUENTIAL = {"single": 20, "all": 20, "steer": 4}
"""Requests of one client in a round."""
CLIENTS = {"single": (16, 64), "all": (16, 64), "steer": (8, 24)}
"""Clients at once, and their requests in a round."""
Request = tuple[str, dict[str, object]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="root of the other checkout")
    parser.add_argument("--tokens", type=int, default=64, help="length of the prompts")
    args = parser.parse_args()
    other = args.checkout.resolve()
    python = other / ".venv/bin/python"
    if not python.exists():
        sys.exit(f"{python} does not exist: run `make setup` in {other}")
    texts = prompts(AutoTokenizer.from_pretrained(MODEL), args.tokens, seed=0)
    draw = random.Random(0)
    with server() as this_server, server(root=other, python=python) as other_server:
        for kind, number in SEQUENTIAL.items():

            def sequential(kind: str = kind, number: int = number) -> list[Request]:
                return [KINDS[kind](next(texts), draw) for _ in range(number)]

            report(f"{kind}, 1 client", other_server.url, this_server.url, sequential, one_by_one)
        for kind, (clients, number) in CLIENTS.items():

            def concurrent(kind: str = kind, number: int = number) -> list[Request]:
                return [KINDS[kind](next(texts), draw) for _ in range(number)]

            def run_concurrently(url: str, requests: list[Request], clients: int = clients) -> float:
                return seconds(lambda: asyncio.run(concurrently(url, requests, clients))) / len(requests)

            report(f"{kind}, {clients} clients", other_server.url, this_server.url, concurrent, run_concurrently)


def report(
    title: str,
    other: str,
    this: str,
    requests: Callable[[], list[Request]],
    measure: Callable[[str, list[Request]], float],
) -> None:
    """Print the medians of the rounds; the order of the two servers alternates, and one round is a warm-up."""
    samples: list[tuple[float, float]] = []
    for number in range(ROUNDS + 1):
        batch = requests()
        if number % 2:
            this_seconds, other_seconds = measure(this, batch), measure(other, batch)
        else:
            other_seconds, this_seconds = measure(other, batch), measure(this, batch)
        samples.append((other_seconds, this_seconds))
    other_median, this_median = (statistics.median(column) for column in zip(*samples[1:], strict=True))
    ratios = " ".join(f"{this_seconds / other_seconds:.2f}" for other_seconds, this_seconds in samples[1:])
    ratio = f"{this_median / other_median:.2f}x ({ratios})"
    print(
        f"{title}: other {1000 * other_median:.1f} ms, this {1000 * this_median:.1f} ms a request, {ratio}", flush=True
    )


def one_by_one(url: str, requests: list[Request]) -> float:
    """Median seconds of a request."""
    with httpx.Client(base_url=url, timeout=600) as client:
        return statistics.median(
            seconds(lambda path, body: client.post(path, json=body).raise_for_status(), path, body)
            for path, body in requests
        )


async def concurrently(url: str, requests: list[Request], clients: int) -> None:
    remaining = list(requests)

    async def client() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=600) as http:
            while remaining:
                path, body = remaining.pop()
                (await http.post(path, json=body)).raise_for_status()

    await asyncio.gather(*(client() for _ in range(clients)))


if __name__ == "__main__":
    main()
