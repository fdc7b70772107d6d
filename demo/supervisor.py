"""Runs programs side by side, prints their output with prefixes, and ends all of them together.

Every program has a process group of its own, so that a terminal's Ctrl-C reaches only the supervisor, which then ends
each group: SIGTERM, a grace period, SIGKILL. If a program ends by itself, all others are ended, except for programs
that are restarted (`Supervisor.keep`). If the supervisor is killed, `watchdog.py` ends them.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_SECONDS = 10
"""Time from SIGTERM to SIGKILL."""
RELAY_SECONDS = 2
"""Longest wait for the last lines of a program that has ended."""
RESTARTS = 3
"""How often in a row a restarted server may end within STEADY_SECONDS of its start."""
STEADY_SECONDS = 60
LINE_BYTES = 64 * 1024
"""Longer lines are printed in pieces."""

COLOURS = {
    "demo": 1,
    "postgres": 34,
    "webapp": 32,
    "import": 32,
    "worker": 32,
    "inference": 35,
    "model": 35,
    "autointerp": 36,
}


class Stop(Exception):
    """Ends all programs; the message states the reason."""


class Console:
    """Writes prefixed lines to standard output; `lost` is set when the output is closed."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self.lost = asyncio.Event()

    def say(self, name: str, text: str) -> None:
        prefix = f"{name:<{self.width}} |"
        if self.colour:
            prefix = f"\x1b[{COLOURS.get(name, 37)}m{prefix}\x1b[0m"
        try:
            print(prefix, text, flush=True)
        except OSError:
            # a closed terminal or pipe
            self.lost.set()


@dataclass(frozen=True)
class Program:
    name: str
    command: Sequence[str]
    environment: Mapping[str, str]


@dataclass
class Running:
    program: Program
    process: asyncio.subprocess.Process
    relay: asyncio.Task[None]
    last: str = ""
    """Its last line, which usually states why it ended."""


def describe_exit(code: int) -> str:
    """Describe an exit status."""
    if code >= 0:
        return f"ended with exit status {code}"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def _stop(running: Running, code: int) -> Stop:
    # the last line of a program that was killed is unrelated
    last_line = f": {running.last}" if running.last and code >= 0 else ""
    return Stop(f"{running.program.name} {describe_exit(code)}{last_line}")


class Supervisor:
    def __init__(self, console: Console, folder: Path) -> None:
        self.console = console
        self.folder = folder
        self.running: list[Running] = []
        watchdog = subprocess.Popen(
            # without site-packages: its start takes milliseconds
            [sys.executable, "-I", "-S", Path(__file__).with_name("watchdog.py")],
            cwd="/",
            stdin=subprocess.PIPE,
            # it needs no signal, and keeps no terminal or pipe open
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert watchdog.stdin is not None
        self._watchdog = watchdog
        self._watchdog_pipe = watchdog.stdin

    def close(self) -> None:
        """End the watchdog; all programs have ended."""
        # it may have been killed
        with suppress(BrokenPipeError):
            self._watchdog_pipe.close()
        self._watchdog.wait()

    def _notify_watchdog(self, sign: str, running: Running) -> None:
        with suppress(BrokenPipeError):
            self._watchdog_pipe.write(f"{sign}{running.process.pid}\n".encode())
            self._watchdog_pipe.flush()

    async def start(self, program: Program) -> Running:
        process = await asyncio.create_subprocess_exec(
            *program.command,
            cwd=self.folder,
            env={**program.environment, "PYTHONUNBUFFERED": "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdout is not None
        # in a task, so that a program never blocks on a full pipe
        running = Running(program, process, relay=asyncio.create_task(asyncio.sleep(0)))
        running.relay = asyncio.create_task(self._relay(running, process.stdout))
        self.running.append(running)
        self._notify_watchdog("+", running)
        return running

    def _forget(self, running: Running) -> None:
        """Kill what is left of the group of a program that has ended, before its id can be reused."""
        self._signal(running, signal.SIGKILL)
        self.running.remove(running)
        self._notify_watchdog("-", running)

    async def _relay(self, running: Running, stream: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await stream.read(LINE_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LINE_BYTES:
                lines.append(rest)
                rest = b""
            for line in lines:
                self._line(running, line)
        if rest:
            self._line(running, rest)

    def _line(self, running: Running, line: bytes) -> None:
        # a progress bar rewrites its line: only the last state is printed
        text = line.decode(errors="replace").rstrip("\r").rpartition("\r")[2].rstrip()
        if text:
            running.last = text
            self.console.say(running.program.name, text)

    async def _ended(self, running: Running) -> int:
        code = await running.process.wait()
        # a process that it started may keep the pipe open
        await asyncio.wait({running.relay}, timeout=RELAY_SECONDS)
        return code

    async def serve(self, program: Program) -> None:
        """Run a server that must not end.

        Raises:
            Stop: it ended.
        """
        running = await self.start(program)
        raise _stop(running, await self._ended(running))

    async def keep(self, program: Program, announce: Callable[[], Awaitable[None]]) -> None:
        """Run a server; restart it if it is killed (out of memory, for example) or fails after STEADY_SECONDS.

        `announce` is called at each start, and cancelled when the server ends.

        Raises:
            Stop: it failed sooner, or was killed more than RESTARTS times in a row; or what `announce` raises.
        """
        quick = 0
        while True:
            started_at = time.monotonic()
            running = await self.start(program)
            code = await self._end_of(running, announce)
            self._forget(running)
            steady = time.monotonic() - started_at >= STEADY_SECONDS
            quick = 0 if steady else quick + 1
            if (code >= 0 and not steady) or quick > RESTARTS:
                raise _stop(running, code)
            self.console.say("demo", f"{program.name} {describe_exit(code)}: it is restarted")

    async def _end_of(self, running: Running, announce: Callable[[], Awaitable[None]]) -> int:
        ended = asyncio.create_task(self._ended(running))
        announcing = asyncio.ensure_future(announce())
        try:
            await asyncio.wait({ended, announcing}, return_when=asyncio.FIRST_COMPLETED)
            if announcing.done():
                announcing.result()
            return await ended
        finally:
            ended.cancel()
            announcing.cancel()

    async def finish(self, program: Program) -> None:
        """Run a program until it ends.

        Raises:
            Stop: its exit status is not 0.
        """
        running = await self.start(program)
        code = await self._ended(running)
        self._forget(running)
        if code != 0:
            raise _stop(running, code)

    def _signal(self, running: Running, number: signal.Signals) -> bool:
        """Send a signal to the whole group; return whether any process of it was still there."""
        try:
            os.killpg(running.process.pid, number)
        except (ProcessLookupError, PermissionError):
            # macOS answers EPERM if only a zombie is left
            return False
        return True

    async def stop(self, kill_now: asyncio.Event) -> None:
        """End every group: SIGTERM, then SIGKILL after the grace period or as soon as `kill_now` is set."""
        for running in self.running:
            self._signal(running, signal.SIGTERM)
        exits = asyncio.gather(*(running.process.wait() for running in self.running))
        kill_request = asyncio.create_task(kill_now.wait())
        await asyncio.wait({exits, kill_request}, timeout=GRACE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        kill_request.cancel()
        for running in self.running:
            if running.process.returncode is None:
                self.console.say(running.program.name, "does not end by itself: killed")
            # also processes that an ended program left in its group
            self._signal(running, signal.SIGKILL)
        await exits
        relays = {running.relay for running in self.running}
        if relays:
            await asyncio.wait(relays, timeout=RELAY_SECONDS)


class Interrupted(BaseException):
    """A signal ends the start of the demo. No `Exception`, as KeyboardInterrupt is none."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = signal.Signals(number)


def interrupt_on_signals() -> None:
    """Raise Interrupted at the first signal, also where a shell has set SIGINT to be ignored (`command &`)."""

    def interrupt(number: int, _frame: object) -> None:
        ignore_signals()
        raise Interrupted(number)

    for number in SIGNALS:
        signal.signal(number, interrupt)


def ignore_signals() -> None:
    """Let nothing interrupt what follows. Unlike SIG_IGN, a function is not inherited by other programs."""
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)


def say_stopping(console: Console, number: signal.Signals) -> int:
    """Print which signal ends the demo. Return the exit status: 0 after Ctrl-C, else 128 + the signal's number."""
    console.say("demo", f"{'Ctrl-C' if number is signal.SIGINT else number.name}: stopping")
    return 0 if number is signal.SIGINT else 128 + number


async def run_until_stopped(supervisor: Supervisor, work: Callable[[], Awaitable[None]]) -> int:
    """Run `work` until it raises Stop, a signal arrives (SIGINT, SIGTERM, SIGHUP) or the output is closed; then end
    every program. Return the exit status: 0 after Ctrl-C, 1 after Stop, 128 + n after another signal.

    A second signal kills what still runs. Signals that follow the return are ignored."""
    console = supervisor.console
    received: asyncio.Queue[signal.Signals] = asyncio.Queue()
    kill_now = asyncio.Event()

    def on_signal(number: signal.Signals) -> None:
        if stopping:
            kill_now.set()
        received.put_nowait(number)

    stopping = False
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    working = asyncio.ensure_future(work())
    signalled = asyncio.create_task(received.get())
    output_closed = asyncio.create_task(console.lost.wait())
    done, _ = await asyncio.wait({working, signalled, output_closed}, return_when=asyncio.FIRST_COMPLETED)
    stopping = True
    status = 1
    if signalled in done:
        status = say_stopping(console, signalled.result())
    for task in (working, signalled, output_closed):
        task.cancel()
    try:
        await working
    except asyncio.CancelledError:
        pass
    except Stop as stop:
        if signalled not in done:
            console.say("demo", f"{str(stop).removesuffix('.')}. Stopping the others")
    finally:
        await supervisor.stop(kill_now)
        supervisor.close()
        # the loop would give the default handlers back; blocked, no signal arrives between two handlers
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        for number in SIGNALS:
            loop.remove_signal_handler(number)
        ignore_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    return status
