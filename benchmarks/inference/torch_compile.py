"""Whether torch.compile is worth it: steps of texts and a capture, eager, with compiled MLPs, with compiled blocks."""

import statistics
import time
from collections.abc import Callable

import torch
from baseline import LAYERS, Floor, arguments, keep, prompts, seconds


def main() -> None:
    given = arguments(__doc__)
    floor, raw = Floor(given.device), {}
    texts = prompts(floor.tokenizer, 64, seed=4)

    def step(rows: int) -> float:
        begun = time.perf_counter()
        steps, _ = floor.write([next(texts) for _ in range(rows)])
        return (time.perf_counter() - begun) / steps

    def capture() -> float:
        return seconds(floor.read, [next(texts) for _ in range(4)], LAYERS["all"])

    def measure(what: str) -> None:
        works: dict[str, Callable[[], float]] = {
            "a step of 2 rows": lambda: step(2),
            "of 16 rows": lambda: step(16),
            "a capture of 4 prompts": capture,
        }
        raw[what] = {}
        for name, work in works.items():
            first = work()  # compiles
            raw[what][name] = [work() for _ in range(5)]
            took = statistics.median(raw[what][name])
            print(f"{what}: {name} {1000 * took:.0f} ms, the first {first:.1f} s", flush=True)

    measure("eager")
    for block in floor.blocks:
        block.mlp.forward = torch.compile(block.mlp.forward, dynamic=True)
    measure("MLPs compiled")
    for block in floor.blocks:
        block.forward = torch.compile(block.forward, dynamic=True)
    measure("blocks compiled")
    keep(given.raw, raw)


if __name__ == "__main__":
    main()
