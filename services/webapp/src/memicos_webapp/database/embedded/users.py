"""The account that PostgreSQL runs as. PostgreSQL refuses to run as root: for root it is a system user without login.

Root's first start makes the user `memicos` and folders below MEMICOS_SYSTEM_DATA. No folder that memicos did not make
changes its owner or mode.
"""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from memicos_webapp.database.errors import DatabaseError

NAME = "memicos"
NO_LOGIN = ("nologin", "false")


@dataclass(frozen=True)
class User:
    """An account of this machine."""

    name: str
    uid: int
    gid: int

    @property
    def is_current(self) -> bool:
        return self.uid == os.geteuid()

    def own(self, path: Path) -> None:
        """Make the user the owner of a file or folder, which is not followed where it is a link."""
        if not self.is_current:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def current_user() -> User:
    """The account of this process.

    Raises:
        DatabaseError: its number has no name, which PostgreSQL needs.
    """
    return _user_of(os.geteuid(), "this process")


def owner(folder: Path) -> User:
    """The account that owns `folder`.

    Raises:
        DatabaseError: its number has no name.
    """
    return _user_of(folder.stat().st_uid, str(folder))


def system_user() -> User:
    """The system user `memicos`, made where it is missing. Root only.

    Raises:
        DatabaseError: it cannot be made, or a user of this name may log in.
    """
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        entry = _add()
    if Path(entry.pw_shell).name not in NO_LOGIN:
        raise DatabaseError(
            f"PostgreSQL does not run as root, and the user {NAME}, which would run it, may log in "
            f"({entry.pw_shell}). Run memicos as another user than root, or set DATABASE_URL"
        )
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _user_of(uid: int, what: str) -> User:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError as error:
        raise DatabaseError(
            f"the user id {uid} of {what} has no name on this machine, which PostgreSQL needs. Run memicos as a user "
            "that has one, or set DATABASE_URL"
        ) from error
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _add() -> pwd.struct_passwd:
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    program = shutil.which("useradd", path=path)
    if program is None:
        raise DatabaseError(
            f"PostgreSQL does not run as root, and there is no useradd here to make the user {NAME}, which would run "
            "it. Run memicos as another user than root, or set DATABASE_URL"
        )
    shell = shutil.which("nologin", path=path) or "/bin/false"
    command = [program, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    done = subprocess.run([*command, "--shell", shell, NAME], capture_output=True, text=True, check=False)
    try:
        # another process may have made it meanwhile
        return pwd.getpwnam(NAME)
    except KeyError as error:
        raise DatabaseError(f"the user {NAME}, which runs PostgreSQL, cannot be made: {done.stderr.strip()}") from error
