"""Effect of torch.compile: decoding steps and a capture in eager mode, with compiled MLPs and with compiled blocks.

Prints for each the median time, and the time of the first call, which compiles.
"""

import statistics
import time
from collections.abc import Callable

import torch
from baseline import LAYERS, Baseline, parse_args, prompts, save_samples, seconds


def main() -> None:
    args = parse_args(__doc__)
    baseline, samples = Baseline(args.device), {}
    texts = prompts(baseline.tokenizer, 64, seed=4)

    def step(rows: int) -> float:
        start = time.perf_counter()
        steps, _ = baseline.generate([next(texts) for _ in range(rows)])
        return (time.perf_counter() - start) / steps

    def capture() -> float:
        return seconds(baseline.encode_prompts, [next(texts) for _ in range(4)], LAYERS["all"])

    def measure(mode: str) -> None:
        functions: dict[str, Callable[[], float]] = {
            "a step of 2 rows": lambda: step(2),
            "of 16 rows": lambda: step(16),
            "a capture of 4 prompts": capture,
        }
        samples[mode] = {}
        for name, function in functions.items():
            first = function()  # compiles
            samples[mode][name] = [function() for _ in range(5)]
            median = statistics.median(samples[mode][name])
            print(f"{mode}: {name} {1000 * median:.0f} ms, the first {first:.1f} s", flush=True)

    measure("eager")
    for block in baseline.blocks:
        block.mlp.forward = torch.compile(block.mlp.forward, dynamic=True)
    measure("MLPs compiled")
    for block in baseline.blocks:
        block.forward = torch.compile(block.forward, dynamic=True)
    measure("blocks compiled")
    save_samples(args.raw, samples)


if __name__ == "__main__":
    main()
