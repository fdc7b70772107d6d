"""Addresses, keys and datasets of `memicos upload` that are refused before anything is sent."""

from pathlib import Path

import pytest
from memicos_cli.main import app
from memicos_dataset.conversion.conversion_folder import Options
from memicos_dataset.conversion.public import to_public
from memicos_dataset.upload.errors import UploadError
from memicos_dataset.upload.server import check_address
from memicos_testing.webapp.small_dataset import remove_vocabulary_size, write_dataset
from typer.testing import CliRunner


@pytest.mark.parametrize(
    "url",
    [
        "sae.example",
        "ftp://sae.example",
        "https://",
        "https://[::1",
        "https://sae.example:99999",
        "https://sae.example:0",
        "https://sae.example:port",
        "https://sae.example/?a=b",
        "https://sae.example/#a",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UploadError, match="is no address of a server"):
        check_address(url, has_key=False, allow_http=False)


@pytest.mark.parametrize("url", ["https://ada:secret@sae.example", "https://:secret@sae.example"])
def test_a_password_in_an_address_is_refused_and_not_printed(url: str) -> None:
    with pytest.raises(UploadError, match="is no address of a server") as refused:
        check_address(url, has_key=False, allow_http=False)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://sae.example:8443/memicos/", "https://sae.example:8443/memicos"),
        ("http://[::1]:3000", "http://[::1]:3000"),
    ],
)
def test_addresses(url: str, address: str) -> None:
    assert check_address(url, has_key=True, allow_http=False) == address


def test_a_key_is_not_sent_without_encryption() -> None:
    with pytest.raises(UploadError, match="--allow-http"):
        check_address("http://sae.example", has_key=True, allow_http=False)
    assert check_address("http://sae.example", has_key=True, allow_http=True) == "http://sae.example"


def test_an_empty_key_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("\n")
    result = CliRunner().invoke(app, ["upload", str(tmp_path), "--to", "https://sae.example", "--key-file", str(file)])
    assert result.exit_code == 1 and f"{file} holds no API key: it is empty." in result.output


def test_a_key_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"\xff\xfe")
    result = CliRunner().invoke(app, ["upload", str(tmp_path), "--to", "https://sae.example", "--key-file", str(file)])
    assert result.exit_code == 1 and "holds no API key: it is not text" in result.output
    missing = tmp_path / "missing"
    command = ["upload", str(tmp_path), "--to", "https://sae.example", "--key-file", str(missing)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert result.output == f"upload: the API key cannot be read: {missing}: No such file or directory\n"


def test_a_dataset_without_the_shape_of_its_model_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    write_dataset(tmp_path / "native", layers=(1,))
    model = to_public(tmp_path / "native", tmp_path / "public", Options(), lambda line: None).model
    remove_vocabulary_size(tmp_path / "public")
    command = ["upload", str(tmp_path / "public/v1" / model.id), "--to", "http://127.0.0.1:1", "--patience", "0"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1 and "does not say vocabulary_size; import or convert it with" in result.output
    result = CliRunner().invoke(app, [*command, "--vocabulary-size", "64"])
    # nothing is wrong with it now: the server is called
    assert result.exit_code == 1 and "127.0.0.1:1" in result.output and "vocabulary" not in result.output
