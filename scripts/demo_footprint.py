"""Print what a running `make demo` leaves on this machine: ports, sockets, files, owners, modes, users, shared memory.

    .venv/bin/python scripts/demo_footprint.py                 # your home, the machine's folder for temporary files
    .venv/bin/python scripts/demo_footprint.py --folder DIR    # DIR instead, where no other program writes

Runs the demo, waits until it has imported its dataset and loaded its model, prints, ends it with Ctrl-C, and prints
what is left. Files are found by comparing folders before and after: the repository, the data folder, the home
directory, the folders for temporary files, and that of root's databases. docs/security.md has the table; a test of
`make test-hardening` compares a run with it.
"""

import argparse
import grp
import os
import pwd
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
READY = ("pages are served", "inference is ready")
START_SECONDS = 900
END_SECONDS = 60
SKIPPED = (".git",)
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Entry:
    """Owner, group and mode of a file or folder."""

    kind: str
    """`file`, `folder`, `link`, `socket` or `other`."""
    owner: str
    group: str
    mode: int

    def __str__(self) -> str:
        return f"{self.owner}:{self.group} {self.mode:04o} {self.kind}"


@dataclass(frozen=True)
class Port:
    """An address on which a process of the demo accepts connections."""

    address: str
    """`127.0.0.1:3000`, or the path of a socket."""
    program: str
    owner: str


@dataclass
class Tree:
    """A file or folder that the demo made in a folder that was there before."""

    path: Path
    entry: Entry
    below: Counter[Entry] = field(default_factory=Counter)
    """How many entries of each kind, owner and mode are below it."""


@dataclass(frozen=True)
class Footprint:
    """What a run of the demo left at one moment."""

    ports: list[Port]
    trees: list[Tree]
    changed: list[tuple[Path, Entry, Entry]]
    """Files and folders that were there before, whose owner or mode the demo changed: before, after."""
    users: list[str]
    """Users of the machine that the demo made."""
    shared_memory: list[tuple[str, Entry]]
    """POSIX shared memory that processes of the demo have mapped."""


def account_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def entry_of(path: Path | str) -> Entry:
    """Raises OSError."""
    status = os.lstat(path)
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link", stat.S_IFSOCK: "socket"}
    kind = kinds.get(stat.S_IFMT(status.st_mode), "other")
    return Entry(kind, account_name(status.st_uid), group_name(status.st_gid), stat.S_IMODE(status.st_mode))


class Snapshot:
    """Everything in some folders, and the folders above them."""

    def __init__(self, whole: Sequence[Path], shared: Sequence[Path], before: "Snapshot | None" = None) -> None:
        """Read the folders.

        Args:
            whole: folders that are read with all folders in them.
            shared: folders of many programs: of folders in them, only those that are not in `before` are read.
            before: an earlier snapshot.
        """
        self.entries: dict[Path, Entry] = {}
        for folder in (*whole, *shared):
            for path in (folder, *folder.parents):
                self._add(path)
        for folder in whole:
            self._scan(folder, None)
        for folder in shared:
            self._scan(folder, before.entries if before else {})

    def _add(self, path: Path) -> None:
        # other programs delete files at the same time
        with suppress(OSError):
            self.entries[path] = entry_of(path)

    def _scan(self, folder: Path, known: Mapping[Path, Entry] | None) -> None:
        with suppress(OSError), os.scandir(folder) as items:
            for item in items:
                path = Path(item.path)
                self._add(path)
                is_new = bool(known) and path not in known
                if (known is None or is_new) and item.is_dir(follow_symlinks=False) and item.name not in SKIPPED:
                    self._scan(path, None)

    def trees_since(self, before: "Snapshot") -> list[Tree]:
        """What was made since `before`: the topmost folders and files."""
        trees: dict[Path, Tree] = {}
        made = sorted(path for path in self.entries if path not in before.entries)
        for path in made:
            top = next((parent for parent in path.parents if parent in trees), None)
            if top is None:
                trees[path] = Tree(path, self.entries[path])
            else:
                trees[top].below[self.entries[path]] += 1
        return list(trees.values())

    def changes_since(self, before: "Snapshot") -> list[tuple[Path, Entry, Entry]]:
        """Files and folders that were there before, with another owner or mode."""
        return [
            (path, before.entries[path], entry)
            for path, entry in self.entries.items()
            if path in before.entries and before.entries[path] != entry
        ]


class Run:
    """`make demo`, or another command that runs it, with what was there before it."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Begin the run.

        Args:
            command: starts the demo.
            environment: its variables; HOME, TMPDIR, MEMICOS_DATA and MEMICOS_SYSTEM_DATA name the folders to compare.
        """
        home = environment.get("HOME") or str(Path.home())
        temporary = environment.get("TMPDIR") or tempfile.gettempdir()
        system = Path(environment.get("MEMICOS_SYSTEM_DATA") or "/var/lib/memicos")
        data = ROOT / (environment.get("MEMICOS_DATA") or ".data")
        self.whole = topmost([ROOT, data, Path(home), system])
        self.shared = topmost([data.parent, system.parent, *map(Path, (temporary, "/tmp", "/var/tmp"))])
        self.lines: list[str] = []
        self.before = Snapshot(self.whole, self.shared)
        self.users_before = {entry.pw_name for entry in pwd.getpwall()}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def wait_until_ready(self) -> None:
        """Wait until pages are served and inference is ready.

        Raises:
            RuntimeError: the demo ended, or was not ready in time.
        """
        end = time.monotonic() + START_SECONDS
        while not all(any(sign in line for line in self.lines) for sign in READY):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the demo did not start:\n" + "\n".join(self.lines[-20:]))
            time.sleep(0.2)

    def family(self) -> list[psutil.Process]:
        """The demo's processes, PostgreSQL's included."""
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def footprint(self) -> Footprint:
        """What the run has left so far."""
        family = self.family() if self.process.poll() is None else []
        now = Snapshot(self.whole, self.shared, self.before)
        return Footprint(
            ports=sorted(ports(family), key=lambda port: port.address),
            trees=now.trees_since(self.before),
            changed=now.changes_since(self.before),
            users=sorted({entry.pw_name for entry in pwd.getpwall()} - self.users_before),
            shared_memory=shared_memory(family),
        )

    def end(self) -> int:
        """End the demo with Ctrl-C, as a terminal sends it. Returns its exit status."""
        for process in self.family():
            with suppress(psutil.NoSuchProcess):
                if process.cmdline()[1:2] == ["demo/run.py"]:
                    process.send_signal(signal.SIGINT)
        return self.process.wait(END_SECONDS)


def topmost(folders: Iterable[Path]) -> list[Path]:
    """The folders that are there and in no other one of them."""
    resolved = {folder.resolve() for folder in folders if folder.is_dir()}
    return sorted(folder for folder in resolved if not resolved.intersection(folder.parents))


def ports(family: Iterable[psutil.Process]) -> set[Port]:
    """Where the processes accept connections: of TCP and UDP, and sockets in the file system."""
    result: set[Port] = set()
    for process in family:
        with suppress(psutil.NoSuchProcess):
            words = process.cmdline()
            name = next((word for word in words if word.startswith("memicos_")), Path(words[0]).name if words else "?")
            for connection in process.net_connections("inet"):
                if connection.status in (psutil.CONN_LISTEN, psutil.CONN_NONE):
                    address = f"{connection.laddr.ip}:{connection.laddr.port}"
                    result.add(Port(address, name, process.username()))
            for connection in process.net_connections("unix"):
                # a connection of a server's client has the name of the socket too
                if connection.laddr and name == "postgres" and process.ppid() not in postgres_ids(family):
                    path = Path(process.cwd()) / str(connection.laddr)
                    result.add(Port(str(path), name, process.username()))
    return result


def postgres_ids(family: Iterable[psutil.Process]) -> set[int]:
    ids: set[int] = set()
    for process in family:
        # sessions of PostgreSQL end meanwhile
        with suppress(psutil.NoSuchProcess):
            if process.name() == "postgres":
                ids.add(process.pid)
    return ids


def shared_memory(family: Iterable[psutil.Process]) -> list[tuple[str, Entry]]:
    names: set[str] = set()
    for process in family:
        with suppress(psutil.Error, OSError):
            for mapping in process.memory_maps():
                if Path(mapping.path).parent == SHARED_MEMORY:
                    names.add(mapping.path)
    result = []
    for name in sorted(names):
        with suppress(OSError):
            result.append((name, entry_of(name)))
    return result


def report(footprint: Footprint) -> str:
    """The footprint as text, one line for each port, topmost file or folder, and change."""
    lines = ["ports and sockets:"]
    lines += [f"  {port.address}  {port.owner}  {port.program}" for port in footprint.ports]
    lines += ["shared memory:"]
    lines += [f"  {name}  {entry}" for name, entry in footprint.shared_memory]
    lines += ["files and folders that were made:"]
    caches = [tree for tree in footprint.trees if "__pycache__" in tree.path.parts]
    if caches:
        below = Counter(tree.entry for tree in caches) + sum((tree.below for tree in caches), Counter[Entry]())
        lines.append(f"  in __pycache__{described(below)}")
    lines += [f"  {tree.path}  {tree.entry}{described(tree.below)}" for tree in footprint.trees if tree not in caches]
    lines += ["owners and modes that were changed:"]
    lines += [f"  {path}  {before} -> {after}" for path, before, after in footprint.changed]
    lines += ["users that were made:", *(f"  {name}" for name in footprint.users)]
    return "\n".join(lines)


def described(below: Counter[Entry]) -> str:
    return "".join(f"; {count} of {entry}" for entry, count in below.most_common())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="home, temporary files and data of the demo; made where missing")
    args = parser.parse_args()
    environment = dict(os.environ)
    if args.folder is not None:
        folder = args.folder.absolute()
        for name in ("home", "temporary", "data"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        environment |= {"HOME": str(folder / "home"), "TMPDIR": str(folder / "temporary")}
        environment |= {"MEMICOS_DATA": str(folder / "data")}
    run = Run(["make", "demo"], environment)
    try:
        run.wait_until_ready()
        umask = os.umask(0)
        os.umask(umask)
        print(f"as {account_name(os.geteuid())}, umask {umask:04o}, while the demo runs\n")
        print(report(run.footprint()), flush=True)
    except RuntimeError as error:
        sys.exit(str(error))
    finally:
        if run.process.poll() is None:
            run.end()
    print("\nafter Ctrl-C\n")
    print(report(run.footprint()))


if __name__ == "__main__":
    main()
