"""`make db-migrate`, `db-backup`, `db-reset` and `db-restore`, on the embedded database of a separate folder."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from memicos_testing.demo_program import data_folder
from memicos_testing.webapp.small_dataset import write_dataset
from memicos_webapp.database.embedded import embedded

ROOT = Path(__file__).parents[2]


def make(data: Path, *arguments: str, response: str = "") -> subprocess.CompletedProcess[str]:
    left_out = ("DATABASE_URL", "MAKEFLAGS", "MAKELEVEL", "MEMICOS_READ_ONLY")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    return subprocess.run(
        ["make", "-s", *arguments], cwd=ROOT, env=environment | {"MEMICOS_DATA": str(data)},
        input=response, capture_output=True, text=True, check=False,
    )  # fmt: skip


def features(data: Path) -> int:
    """Number of features in the database."""

    async def count(url: str) -> int:
        connection = await asyncpg.connect(url)
        try:
            return len(await connection.fetch("SELECT FROM feature"))
        finally:
            await connection.close()

    with embedded(data / "postgres") as url:
        return asyncio.run(count(url))


@pytest.mark.slow
def test_a_database_is_migrated_backed_up_reset_and_restored() -> None:
    with data_folder() as folder:
        data, dataset, file = folder / "data", folder / "dataset", folder / "before.dump"
        result = make(data, "db-migrate")
        assert result.returncode == 0 and "newest revision" in result.stdout, result.stderr
        assert features(data) == 0
        write_dataset(dataset)
        program = [sys.executable, "-m", "memicos_webapp.datasets.commands", str(dataset)]
        subprocess.run(program, env=os.environ | {"MEMICOS_DATA": str(data)}, check=True, capture_output=True)
        loaded = features(data)
        assert loaded > 0

        unnamed = make(data, "db-backup")
        assert unnamed.returncode != 0 and "make db-backup FILE=backup.dump" in unnamed.stdout
        assert make(data, "db-backup", f"FILE={file}").returncode == 0 and file.stat().st_size > 10_000

        assert make(data, "db-reset", response="n\n").returncode != 0
        assert features(data) == loaded
        assert make(data, "db-reset", "YES=1").returncode == 0
        assert features(data) == 0

        # restores only into a database without tables: that of another folder
        refused = make(data, "db-restore", f"FILE={file}")
        assert refused.returncode != 0 and "restored into an empty one" in refused.stderr
        restored = make(folder / "other", "db-restore", f"FILE={file}")
        assert restored.returncode == 0, restored.stderr
        assert features(folder / "other") == loaded
