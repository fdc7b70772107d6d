"""Run as a program by test_shutdown: several inference servers whose decoder is slow.

Usage: `python slow_servers.py PORT...`, with the settings in the environment. Each server is a fork, so that the
modules are imported once; a step of more than one row takes STEP_SECONDS longer. Prints the process id of each server,
then process id and exit status of each as they end. Server logs go to `<port>.log` in the working directory.
"""

import os
import sys
import time

from memicos_engine.generation.decoder import Decoder
from memicos_engine.generation.generation import Generation
from memicos_engine.sources import source_selection  # noqa: F401  # imported before the forks, as it takes long
from memicos_inference.serve import main

STEP_SECONDS = 0.04

_step = Decoder.step


def slow_step(self: Decoder) -> list[Generation]:
    if self.n_batch_rows > 1:
        time.sleep(STEP_SECONDS)
    return _step(self)


def run(ports: list[str]) -> None:
    Decoder.step = slow_step
    sys.argv[1:] = []
    for port in ports:
        process = os.fork()
        if process == 0:
            os.dup2(os.open(f"{port}.log", os.O_WRONLY | os.O_CREAT), 2)
            os.environ["INFERENCE_PORT"] = port
            main()
        print(process, flush=True)  # noqa: T201
    for _ in ports:
        process, status = os.wait()
        print(process, os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


if __name__ == "__main__":
    run(sys.argv[1:])
