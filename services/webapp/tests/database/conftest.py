"""Folders and users for tests of the embedded PostgreSQL.

folder       a folder that every user can enter, which is deleted
other_users  two users that are not root
"""

import pwd
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from memicos_testing.webapp.embedded_database import Folder
from memicos_webapp.database.embedded import program_folder, programs_for
from memicos_webapp.database.embedded.users import User


@pytest.fixture
def folder() -> Iterator[Folder]:
    # not pytest's own, which other users may not enter
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        programs = program_folder()
        assert programs is not None
        yield Folder(path, programs)


@pytest.fixture
def other_users(folder: Folder) -> list[User]:
    """Two users that are not root. Tests that take this fixture run as root only."""
    users = [User(entry.pw_name, entry.pw_uid, entry.pw_gid) for entry in map(pwd.getpwnam, ("nobody", "daemon"))]
    folder.programs = programs_for(users[0], folder.programs, folder.path / "system")
    return users
