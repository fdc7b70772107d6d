"""The demo as `make demo` runs it, on free ports and in a separate data folder."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from memicos_testing.servers import free_port

ROOT = Path(__file__).parents[4]
START_SECONDS = 240


@dataclass
class Demo:
    """`make demo` in a subprocess; `lines` grows while it runs."""

    process: subprocess.Popen[str]
    webapp: str
    inference: str
    autointerp: str
    data: Path
    lines: list[str] = field(default_factory=list)

    def wait_for(self, pattern: str, seconds: float = START_SECONDS) -> str:
        """The first line that matches `pattern`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for line in self.lines:
                if re.search(pattern, line):
                    return line
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise AssertionError(f"no line with {pattern!r}:\n" + "\n".join(self.lines))

    def family(self) -> list[psutil.Process]:
        """The supervisor and every process under it."""
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


def environment(data: Path, **variables: str) -> dict[str, str]:
    left_out = {
        "DATABASE_URL",
        "OPENAI_API_KEY",
        "AUTOINTERP_API_KEY",
        "SECRET",
        "INFERENCE_URL",
        "AUTOINTERP_URL",
        "MEMICOS_INFERENCE_HOSTS",
    }
    return {name: value for name, value in os.environ.items() if name not in left_out} | {
        "MEMICOS_DATA": str(data),
        # databases that programs make for root are deleted with the folder
        "MEMICOS_SYSTEM_DATA": str(data),
        "MEMICOS_PORT": str(free_port()),
        "INFERENCE_PORT": str(free_port()),
        "AUTOINTERP_PORT": str(free_port()),
        **variables,
    }


@contextmanager
def data_folder() -> Iterator[Path]:
    """A new folder that PostgreSQL's user can reach, deleted afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


Start = Callable[..., Demo]


def start_demo(data: Path, *arguments: str, **variables: str) -> Demo:
    """Start the demo's program over the converted model; its caller ends it."""
    full_environment = environment(data, **variables)
    process = subprocess.Popen(
        [sys.executable, "demo/run.py", "--no-model", *arguments],
        cwd=ROOT,
        env=full_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    demo = Demo(
        process,
        webapp=f"http://127.0.0.1:{full_environment['MEMICOS_PORT']}",
        inference=f"http://127.0.0.1:{full_environment['INFERENCE_PORT']}",
        autointerp=f"http://127.0.0.1:{full_environment['AUTOINTERP_PORT']}",
        data=data,
    )
    stream = process.stdout
    assert stream is not None
    threading.Thread(target=lambda: demo.lines.extend(line.rstrip() for line in stream), daemon=True).start()
    return demo
