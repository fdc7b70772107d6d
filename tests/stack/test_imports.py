"""Imports of the public layout in the demo's containers, whose file systems are read-only except for their volumes."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from memicos_dataset.conversion.conversion_folder import Options
from memicos_dataset.conversion.public import to_public
from memicos_dataset.manifest import Manifest
from memicos_testing.docker_stack import COMMAND_SECONDS, Stack, output, run
from memicos_testing.webapp.small_dataset import write_dataset


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """A model's folder in the public layout, readable by the containers' user."""
    folder = tmp_path_factory.mktemp("import")
    write_dataset(folder / "native")
    manifest = to_public(folder / "native", folder / "public", Options(), lambda line: None)
    model = folder / "public" / "v1" / manifest.model.id
    for path in (model, *model.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return model, manifest


@pytest.fixture(scope="module")
def stack(demo: Stack, public: tuple[Path, Manifest]) -> Iterator[Stack]:
    """The demo, whose worker reads the folder."""
    overlay = str(Path(__file__).with_name("import-folder.yaml"))
    environment = {"IMPORT_FROM": str(public[0])}
    yield Stack(demo.name, (*demo.files, overlay), demo.project, demo.port, environment)
    demo.compose("up", "-d", "worker")


def options(manifest: Manifest) -> tuple[str, ...]:
    """What the files do not say."""
    model = manifest.model
    names = {"--layers": model.layers, "--d-model": model.d_model, "--vocabulary-size": model.vocabulary_size}
    return tuple(text for name, value in names.items() for text in (name, str(value)))


def test_the_worker_converts_and_imports_the_public_layout(stack: Stack, public: tuple[Path, Manifest]) -> None:
    manifest = public[1]
    stack.compose("up", "-d", "worker")
    webapp, worker = (stack.container(name)["Id"] for name in ("webapp", "worker"))
    assert stack.container("worker")["HostConfig"]["ReadonlyRootfs"]
    queued = output("docker", "exec", webapp, "memicos", "import", "--background", *options(manifest), "/import")
    (job,) = re.findall(r"job (\d+) is queued", queued)
    followed = output("docker", "exec", webapp, "memicos", "jobs", "follow", job)
    assert "done" in followed, followed
    assert f"job {job}: " in stack.logs("worker")
    source = manifest.source_set.sources[0]
    page = httpx.get(f"{stack.url}/{manifest.model.id}/{source.id}/5")
    assert page.status_code == 200 and source.id in page.text
    # the conversion was in the volume, which the webapp has too, and is deleted
    assert output("docker", "exec", webapp, "ls", "-A", "/app/.data/imports") == ""
    output("docker", "exec", worker, "touch", "/app/.data/a-file-of-the-worker")
    assert "a-file-of-the-worker" in output("docker", "exec", webapp, "ls", "/app/.data")
    output("docker", "exec", worker, "rm", "/app/.data/a-file-of-the-worker")


def test_a_folder_of_the_host_that_is_not_writable(stack: Stack, public: tuple[Path, Manifest], tmp_path: Path) -> None:
    folder, manifest = public
    environment = {**stack.environment, "WEBAPP_DATA": str(tmp_path)}
    limited = Stack(stack.name, stack.files, stack.project, stack.port, environment)
    command = ("run", "--rm", "-T", "--no-deps", "-v", f"{folder}:/import:ro", "webapp", "memicos", "import")
    refused = run(
        *limited.compose_command(*command, *options(manifest), "/import"),
        seconds=COMMAND_SECONDS,
        **limited.variables,
    )
    assert refused.returncode == 1, refused
    (line,) = [line for line in refused.stderr.splitlines() if line.startswith("import: ")]
    assert line.startswith("import: /app/.data/imports: a conversion cannot be written there"), refused.stderr
    assert "MEMICOS_IMPORT_FOLDER" in line and "Traceback" not in refused.stderr
    assert "could not be recorded" not in refused.stderr
    # a folder of the containers' user
    tmp_path.chmod(0o777)
    assert f"{manifest.model.id}/res" in limited.compose(*command, *options(manifest), "/import")
