"""Visitors who begin a stream of steering and never read: what they cost other visitors of the webapp.

    python benchmarks/hardening/stalled_readers.py

Starts a webapp with a small dataset, and an inference server that answers without a model, so that only the webapp is
measured. Prints the latency of a request that needs inference, and of a page, alone and beside 120 stalled readers: of
120 visitors, and of one visitor.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

from memicos_testing.servers import in_thread
from memicos_testing.stalled_readers import PreparedInferenceServer, begin, measure_requests, statuses
from memicos_testing.webapp.small_dataset import write_dataset
from memicos_testing.webapp.webapp_program import visitor, webapp

READERS, REQUESTS = 120, 20
GIVE_UP_SECONDS = 15
"""Longest wait for one response; it then counts as none."""
HONEST_VISITOR = 999


async def latencies(url: str) -> str:
    async with visitor(url, HONEST_VISITOR) as http:
        results = await measure_requests(http, REQUESTS, GIVE_UP_SECONDS)
    return "; ".join(f"{name}: {samples}" for name, samples in results.items())


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    server = PreparedInferenceServer()
    server.prepare()
    with tempfile.TemporaryDirectory() as folder, in_thread(server.app()) as inference:
        write_dataset(Path(folder))
        for addresses in ([f"127.2.0.{number + 1}" for number in range(READERS)], ["127.3.0.1"] * READERS):
            with webapp(Path(folder), inference) as url:
                print(f"alone: {asyncio.run(latencies(url))}", flush=True)
                readers = begin(url, addresses)
                n_visitors = len(set(addresses))
                print(f"{len(readers)} stalled readers of {n_visitors} visitor(s), by status {statuses(readers)}:")
                print(asyncio.run(latencies(url)), flush=True)
                for reader in readers:
                    reader.close()


if __name__ == "__main__":
    main()
