"""Processes of other users of the machine that run the embedded PostgreSQL."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from memicos_webapp.database.embedded.users import User

USER_PROGRAM = """
import asyncio, os, sys
from pathlib import Path
import asyncpg
from memicos_webapp.database import embedded
uid, gid, folder, programs = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
embedded.program_folder = lambda: programs
if os.geteuid() != uid:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
async def settings(url):
    connection = await asyncpg.connect(url)
    methods = await connection.fetchval("SELECT string_agg(DISTINCT auth_method, ',') FROM pg_hba_file_rules")
    return methods, await connection.fetchval("SHOW fsync")

with embedded.embedded(folder, folder.parent) as url:
    assert asyncio.run(settings(url)) == ("peer", "on")
    print(url, flush=True)
    sys.stdin.read()
"""
"""Runs the embedded PostgreSQL as a user, by id and group, in a folder, with PostgreSQL's programs."""


@dataclass
class Folder:
    """A folder that every user can enter, and PostgreSQL's programs, which every user can run."""

    path: Path
    programs: Path

    def of(self, user: User) -> Path:
        """A new folder of the user, which no other may enter."""
        folder = self.path / user.name
        folder.mkdir(mode=0o700)
        user.own(folder)
        return folder


@contextmanager
def started(user: User, data: Path, programs: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A process of `user` that runs the embedded PostgreSQL, and the URL."""
    arguments = [str(user.uid), str(user.gid), str(data / "postgres"), str(programs)]
    process = subprocess.Popen(
        [sys.executable, "-c", USER_PROGRAM, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        assert url, "PostgreSQL did not start"
        yield process, url
    finally:
        process.stdin.close()
        process.wait(60)
