"""Ports, files, owners and modes that a run of the demo leaves, as root and as another user, with an API key, an upload
and an export made meanwhile, against the table of docs/security.md: every one has its row, and every row that a run can
show is there."""

import hashlib
import os
import pwd
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import demo_footprint
import httpx
import pytest
from demo_footprint import Entry, Footprint, Run, Tree
from memicos_testing.demo_program import ROOT, data_folder, environment

pytestmark = pytest.mark.slow

ROW = re.compile(r"^\| (?P<paths>`[^|]*?) \| (?P<owner>[^|]*) \|", re.MULTILINE)
OTHER_USER = "nobody"
PROGRAM = [sys.executable, "demo/run.py", "--no-model"]
JOB_SECONDS = 120
EXPORTED = "smollm2-135m-it/7-res-4k"
UPLOADED = "features/batch-0.jsonl.gz", b"no dataset: its conversion begins and fails"
SHOWN = {"postgres", "postgres.start.lock", "postgres.users.lock", "secret-key", "uploads", "exports", "imports"}
"""What of the data folder every run shows."""


@dataclass(frozen=True)
class Row:
    """A row of the table: the path in words of the document, and what it says about owner and mode."""

    path: str
    words: str


def table() -> list[Row]:
    """The table of files in docs/security.md."""
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    section = text.split("## What `make demo` leaves on a machine")[1].split("\n## ")[0]
    rows = ROW.finditer(section)
    return [Row(path, row["owner"]) for row in rows for path in re.findall("`([^`]*)`", row["paths"])]


def is_of(path: str, row: str) -> bool:
    """Whether the path of a row, in which `…` is any text, is this one or a folder above it."""
    pattern = re.escape(row).replace("…", "[^/]*").replace("<user>", "[^/]*")
    return re.fullmatch(f"{pattern}(/.*)?", path) is not None


@dataclass
class Folders:
    """The folders of a run, each of which only the demo writes to."""

    home: Path
    temporary: Path
    data: Path
    system: Path

    def in_words(self, path: Path) -> str | None:
        """The path as the table has it; None: it is in none of these folders."""
        for folder, name in ((self.data, ".data"), (self.home, "~"), (self.system, "/var/lib/memicos")):
            if path.is_relative_to(folder):
                return f"{name}/{path.relative_to(folder)}"
        for folder in (self.temporary, ROOT):
            if path.is_relative_to(folder):
                return str(path.relative_to(folder))
        return None


@contextmanager
def folders(user: pwd.struct_passwd, model_folder: Path) -> Iterator[Folders]:
    with data_folder() as top:
        result = Folders(*(top / name for name in ("home", "temporary", "data", "system")))
        for folder in (result.home, result.temporary, result.data):
            folder.mkdir()
            os.chown(folder, user.pw_uid, user.pw_gid)
        # there on most machines
        (result.home / ".cache").mkdir()
        os.chown(result.home / ".cache", user.pw_uid, user.pw_gid)
        result.system.mkdir()
        # the weights have mode 0600
        models = result.data / "models"
        if user.pw_uid == os.geteuid():
            models.symlink_to(model_folder.parent, target_is_directory=True)
        else:
            shutil.copytree(model_folder.parent, models)
            for path in (models, *models.rglob("*")):
                os.chown(path, user.pw_uid, user.pw_gid)
        yield result


def run_demo(user: pwd.struct_passwd, folders: Folders) -> tuple[Footprint, Footprint]:
    """What a run leaves while it runs, and after Ctrl-C."""
    variables = environment(folders.data) | {
        "MEMICOS_SYSTEM_DATA": str(folders.system),
        "HOME": str(folders.home),
        "TMPDIR": str(folders.temporary),
        "CUSTOM_HF_MODEL_ID": str(folders.data / "models" / "smollm2-135m-it"),
    }
    run = Run([*as_user(user), *PROGRAM], variables)
    try:
        run.wait_until_ready()
        make_key(user, variables)
        add_files(f"http://127.0.0.1:{variables['MEMICOS_PORT']}")
        during = run.footprint()
    finally:
        if run.process.poll() is None:
            run.end()
    assert run.process.returncode == 0, run.lines[-20:]
    return during, run.footprint()


def make_key(user: pwd.struct_passwd, variables: dict[str, str]) -> None:
    """What `memicos key new` does to the data folder of the demo, which runs."""
    command = [*as_user(user), str(Path(sys.executable).with_name("memicos")), "key", "new", "of the test"]
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.strip(), done.stderr


def add_files(url: str) -> None:
    """Upload a dataset in the public layout, whose import fails and keeps it, and export a source."""
    path, content = UPLOADED
    digest = hashlib.sha256(content).hexdigest()
    announced = {"name": "model/0-set", "files": [{"path": path, "bytes": len(content), "sha256": digest}]}
    with httpx.Client(base_url=url, timeout=60) as client:

        def post(path: str, body: dict[str, object]) -> dict[str, object]:
            return client.post(path, json=body).raise_for_status().json()

        upload = {"uploadId": post("/api/dataset-upload/new", announced)["uploadId"]}
        part = f"/api/dataset-upload/part/{upload['uploadId']}/0/0"
        client.put(part, content=content, headers={"X-Part-SHA256": digest}).raise_for_status()
        jobs = [post("/api/dataset-upload/complete", dict(upload))["jobId"]]
        jobs.append(post("/api/admin/exports", {"name": EXPORTED})["id"])
        end = time.monotonic() + JOB_SECONDS
        while [state(client, job) for job in jobs] != ["failed", "done"]:
            assert time.monotonic() < end, [client.get(f"/api/admin/jobs/{job}").text for job in jobs]
            time.sleep(0.2)


def state(client: httpx.Client, job: object) -> str:
    return client.get(f"/api/admin/jobs/{job}").raise_for_status().json()["job"]["state"]


def as_user(user: pwd.struct_passwd) -> list[str]:
    """The command that runs another one as `user`, who may read this repository where only root may enter it."""
    if user.pw_uid == os.geteuid():
        return []
    command = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    # the interpreter may be in a folder of root: a program of the user's has to start it again
    starts = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import memicos_webapp'], check=True)"
    done = subprocess.run([*command, sys.executable, "-c", starts], cwd=ROOT, capture_output=True, check=False)
    if done.returncode != 0:
        command += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    return command


def accounts() -> list[str]:
    own = pwd.getpwuid(os.geteuid()).pw_name
    return [own, OTHER_USER] if own == "root" else [own]


@pytest.mark.parametrize("name", accounts())
def test_what_a_run_leaves_is_in_the_table(name: str, model_folder: Path) -> None:
    user = pwd.getpwnam(name)
    postgres = "memicos" if name == "root" else name
    rows = table()
    with folders(user, model_folder) as own:
        during, after = run_demo(user, own)
        check_ports(during, own, name, postgres)
        assert after.ports == [] and after.shared_memory == []
        assert all(entry == Entry("file", postgres, entry.group, 0o600) for _, entry in during.shared_memory)
        for footprint in (during, after):
            assert footprint.changed == []
            assert set(footprint.users) <= {"memicos"}
            shown = [shown_in(tree, own, name, rows) for tree in footprint.trees]
            seen = {row.path for row in shown if row is not None}
            assert {f".data/{name}" for name in SHOWN} <= seen
            assert ("/var/lib/memicos/postgres-…" in seen) == (name == "root")


def check_ports(footprint: Footprint, own: Folders, name: str, postgres: str) -> None:
    (socket,) = (port for port in footprint.ports if port.program == "postgres")
    assert socket.owner == postgres
    folder = Path(socket.address).parent
    assert folder.stat().st_mode & 0o777 == 0o700 and folder.owner() == postgres
    others = [port for port in footprint.ports if port is not socket]
    assert sorted(port.program for port in others) == ["memicos_autointerp", "memicos_inference", "memicos_webapp"]
    assert all(port.address.startswith("127.0.0.1:") and port.owner == name for port in others)


def shown_in(tree: Tree, own: Folders, name: str, rows: list[Row]) -> Row | None:
    """The row of something that the run made. None: another program or pytest made it, in a folder that all share."""
    compiled = "__pycache__" in tree.path.parts
    path = "__pycache__" if compiled else own.in_words(tree.path)
    # a run as another user can make no file of root's
    of_others = compiled and tree.entry.owner == "root" != name
    if path is None or of_others or ".pytest_cache" in tree.path.parts:
        return None
    matches = [row for row in rows if is_of(path, row.path)]
    assert len(matches) == 1, f"{tree.path} ({tree.entry}) has {len(matches)} rows in docs/security.md, as {path}"
    check_owner_and_mode(tree, matches[0], name)
    return matches[0]


def check_owner_and_mode(tree: Tree, row: Row, name: str) -> None:
    owner = "memicos" if row.words.startswith("`memicos`") else "root" if row.words.startswith("root") else name
    entries = {tree.entry, *tree.below}
    # root writes PostgreSQL's list of users
    owners = {owner, name} if owner == "memicos" else {owner}
    assert tree.entry.owner == owner and {entry.owner for entry in entries} <= owners, (tree, row)
    for entry in entries:
        if entry.kind == "link":
            continue
        if "0700" in row.words and "files in it" not in row.words:
            assert entry.mode & 0o077 == 0, (tree.path, entry, row)
        else:
            assert entry.mode & 0o022 == 0, (tree.path, entry, row)
    # the mode of the path itself follows its owner; others are those of files in it
    if (mode := re.match(r"[^,]*, (0\d{3})\b", row.words)) and tree.entry.kind != "link":
        assert tree.entry.mode == int(mode[1], 8), (tree.path, tree.entry, row)


def test_setpriv_is_there() -> None:
    """The test above runs the demo as another user where it runs as root."""
    assert os.geteuid() != 0 or shutil.which("setpriv")


def test_the_report_names_owner_and_mode(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir(mode=0o755)
    before = demo_footprint.Snapshot([tmp_path], [])
    (tmp_path / "made").mkdir(mode=0o700)
    (tmp_path / "made" / "file").touch(0o600)
    (tmp_path / "before").chmod(0o777)
    now = demo_footprint.Snapshot([tmp_path], [], before)
    footprint = Footprint([], now.trees_since(before), now.changes_since(before), [], [])
    lines = [line for line in demo_footprint.report(footprint).splitlines() if str(tmp_path) in line]
    own = f"{demo_footprint.account_name(os.geteuid())}:{demo_footprint.group_name(os.getegid())}"
    assert lines == [
        f"  {tmp_path}/made  {own} 0700 folder; 1 of {own} 0600 file",
        f"  {tmp_path}/before  {own} 0755 folder -> {own} 0777 folder",
    ]
