"""Links in a dataset's folder that lead out of it: what is uploaded, published, converted or imported leaves them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from memicos_dataset.commands import convert_dataset
from memicos_dataset.conversion.conversion_folder import Options
from memicos_dataset.conversion.public import to_public
from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder
from memicos_dataset.own_files import check_own_files
from memicos_dataset.remote.commands import publish_dataset
from memicos_dataset.upload.files import dataset_files
from memicos_testing.webapp.small_dataset import write_dataset
from typer.testing import CliRunner, Result

OUTSIDE = r"is a link to .*outside, outside of .* --follow-links"


@pytest.fixture
def native(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    write_dataset(folder, layers=(1,))
    return folder


def public_of(native: Path) -> Path:
    """Folder of the model in the public layout."""
    out = native.with_name("public")
    manifest = to_public(native, out, Options(), lambda line: None)
    return out / "v1" / manifest.model.id


def move_out(file: Path, place: Path) -> None:
    """Put a link in the place of a file or folder, which is moved out of the dataset."""
    file.rename(place)
    file.symlink_to(place)


@pytest.mark.parametrize("path", ["manifest.json", "corpus/contexts.parquet", "corpus"])
def test_files_of_the_native_format(native: Path, tmp_path: Path, path: str) -> None:
    check_own_files(Folder.of(native))
    move_out(native / path, tmp_path / "outside")
    with pytest.raises(DatasetError, match=r"is a link to .*outside"):
        check_own_files(Folder.of(native))
    with pytest.raises(DatasetError, match=r"is a link to .*outside"):
        dataset_files(Folder.of(native))
    assert len(dataset_files(Folder.of(native), follow_links=True)) > 3


def test_files_of_the_public_layout(native: Path, tmp_path: Path) -> None:
    model = public_of(native)
    check_own_files(Folder.of(model))
    batch = next(model.glob("*/features/batch-0.jsonl*"))
    move_out(batch, tmp_path / "outside")
    with pytest.raises(DatasetError, match=OUTSIDE):
        check_own_files(Folder.of(model))


def test_links_inside_of_the_folder_are_followed(native: Path) -> None:
    (native / "corpus").rename(native / "texts")
    (native / "corpus").symlink_to("texts")
    check_own_files(Folder.of(native))
    # the folder itself may be one
    native.with_name("link").symlink_to(native)
    check_own_files(Folder.of(native.with_name("link")))


def test_a_link_that_leads_to_itself(native: Path) -> None:
    contexts = native / "corpus/contexts.parquet"
    contexts.unlink()
    contexts.symlink_to("contexts.parquet")
    with pytest.raises(DatasetError, match="a link that leads to itself"):
        check_own_files(Folder.of(native))


def run(command: Callable[..., None], *arguments: str) -> Result:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize("public", [False, True])
def test_publish(native: Path, tmp_path: Path, public: bool) -> None:
    folder = public_of(native) if public else native
    move_out(
        next(folder.glob("*/features/batch-0.jsonl*" if public else "corpus/contexts.parquet")), tmp_path / "outside"
    )
    arguments = (str(folder), "--to", str(tmp_path / "to"), "--work", str(tmp_path / "work"))
    refused = run(publish_dataset, *arguments)
    assert refused.exit_code == 1
    assert not (tmp_path / "to").exists()
    result = run(publish_dataset, *arguments, "--follow-links")
    assert result.exit_code == 0, result.output


def test_convert(native: Path, tmp_path: Path) -> None:
    move_out(native / "corpus", tmp_path / "outside")
    out = tmp_path / "converted"
    assert run(convert_dataset, str(native), str(out)).exit_code == 1
    assert not out.exists()
    result = run(convert_dataset, str(native), str(out), "--follow-links")
    assert result.exit_code == 0, result.output
