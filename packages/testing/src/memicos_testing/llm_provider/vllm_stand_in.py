"""The provider's double as a program with the command line of `vllm serve`, for tests of replicas.

    python -m memicos_testing.llm_provider.vllm_stand_in MODEL --served-model-name NAME --host HOST --port PORT

It answers as `answer` does, requests with the key VLLM_API_KEY only. Of MODEL, which is a folder, it reads
`behaviour.json` (`Behaviour`), and writes the bodies of its requests to `requests-<its process>.jsonl`. It starts a
child process, as vLLM does for its engine.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from memicos_testing.llm_provider.answers import explain_marks
from memicos_testing.llm_provider.server import LlmProvider, Received, Reply
from memicos_testing.word_list_model import WordListModel

BEHAVIOUR = "behaviour.json"
CHILD_NAME = "memicos-stand-in-engine"
MODULE = "memicos_testing.llm_provider.vllm_stand_in"


@dataclass(frozen=True)
class Behaviour:
    """
    Attributes:
        delay: seconds until a request is answered.
        loading: seconds until /health answers with 200.
        fails: the program ends while it starts.
        ignores_sigterm: only SIGKILL ends it.
    """

    delay: float = 0.0
    loading: float = 0.0
    fails: bool = False
    ignores_sigterm: bool = False


def write_behaviour(folder: Path, behaviour: Behaviour) -> None:
    folder.mkdir(exist_ok=True)
    (folder / BEHAVIOUR).write_text(json.dumps(asdict(behaviour)))


def answer(received: Received) -> Reply:
    """What the marked pieces of an explainer's prompt are; of a scorer's, what `WordListModel` says."""
    if "Description: " in received.body["messages"][-1]["content"]:
        return WordListModel()(received)
    return explain_marks(received)


def requests(folder: Path) -> dict[int, list[Any]]:
    """Bodies of all requests, by the process that received them."""
    return {
        int(file.stem.partition("-")[2]): [json.loads(line) for line in file.read_text().splitlines()]
        for file in folder.glob("requests-*.jsonl")
    }


def running(model: Path) -> list[psutil.Process]:
    """Servers of the model, and of models in this folder, with their child processes."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if str(model) in " ".join(command) and MODULE in command and "-I" not in command:
            # it can end between the listing and here
            with suppress(psutil.NoSuchProcess):
                found += [process, *process.children()]
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--served-model-name", required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--max-model-len", type=int)
    options = parser.parse_args()
    behaviour = Behaviour(**json.loads((options.model / BEHAVIOUR).read_text()))
    sys.stdout.write("INFO loading weights\n")
    sys.stdout.flush()
    if behaviour.fails:
        raise ValueError("No available memory for the cache blocks.")
    if behaviour.ignores_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)", CHILD_NAME])
    log = (options.model / f"requests-{os.getpid()}.jsonl").open("a")
    lock = threading.Lock()

    def reply(received: Received) -> Reply:
        if received.headers.get("authorization") != f"Bearer {os.environ['VLLM_API_KEY']}":
            return Reply(status=401)
        if received.body["model"] != options.served_model_name:
            return Reply(status=404)
        with lock:
            log.write(json.dumps(received.body) + "\n")
            log.flush()
        time.sleep(behaviour.delay)
        return answer(received)

    provider = LlmProvider(options.host, options.port)
    provider.answer, provider.healthy = reply, False
    with provider:
        time.sleep(behaviour.loading)
        provider.healthy = True
        threading.Event().wait()


if __name__ == "__main__":
    main()
