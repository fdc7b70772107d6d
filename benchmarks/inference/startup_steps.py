"""Steps of the start of inference with the demo's model: wall and processor seconds of each.

Imports, the weights, each check of the self-test in its short form, and the part of it that is run where the rest is
remembered. Run it with `OMP_NUM_THREADS=2` for the figures of docs/performance.md.
"""

import importlib
import time
from pathlib import Path

CONFIG = Path(__file__).resolve().parents[2] / ".env.inference.smollm2-135m-it.res-4k"
IMPORTS = ("memicos_inference.app", "torch", "transformers", "memicos_engine.sources.source_specs")


class Clock:
    """Prints the seconds since the last step."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def step(self, name: str) -> None:
        wall, cpu = time.monotonic(), time.process_time()
        print(f"{name:<50}{wall - self._wall:>7.2f} s{cpu - self._cpu:>8.2f} s of processors", flush=True)
        self._wall, self._cpu = time.monotonic(), time.process_time()


def main() -> None:
    clock = Clock()
    for name in IMPORTS:
        importlib.import_module(name)
        clock.step(f"import {name}")
    from memicos_engine.selftest import runner
    from memicos_inference import model_loading
    from memicos_inference.settings import read

    settings = read(CONFIG)
    loaded = model_loading.load_model(settings, lambda text, fraction: None)
    clock.step("load the model")
    limits = runner.short_limits(settings.selftest_seconds, settings.selftest_bytes, loaded.longest_text)
    hook_names = [info.hook_name for info in loaded.source_cache.infos()]
    for check in runner.check_model(loaded.model, hook_names, limits):
        clock.step(f"self-test: {check.name}, {check.detail[:20]}")
    for check in runner.check_model_quickly(loaded.model, limits):
        clock.step(f"cheap part: {check.name}")


if __name__ == "__main__":
    main()
