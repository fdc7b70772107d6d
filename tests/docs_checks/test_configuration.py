"""docs/configuration.md and the list of known names equal the settings classes; every secret is in `make init-env`."""

from pathlib import Path

import configuration
import pytest
from memicos_cli import doctor, stack_env
from memicos_service.variable_names import FAMILIES, PREFIXES, field_variables, known_names
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

ROOT = Path(__file__).parents[2]


def test_the_tables_are_those_of_the_settings_classes() -> None:
    committed = configuration.DOCUMENT.read_text()
    assert configuration.document_text(committed) == committed, "run `make configuration`"
    assert configuration.NAMES.read_text() == configuration.names_text(), "run `make configuration`"


def test_the_settings_of_doctor_are_documented_with_their_defaults() -> None:
    committed = configuration.DOCUMENT.read_text()
    for name, default in (
        (doctor.DISK_SETTING, doctor.DEFAULT_DISK_GB),
        (doctor.MEMORY_SETTING, doctor.DEFAULT_MEMORY_GB),
    ):
        assert f"`{name}` ({default:g})" in committed


def test_a_setting_that_changes_is_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    class Settings(BaseSettings):
        wait_seconds: float = Field(3, gt=0, description="How long | it <waits>.")
        cache_bytes: int = Field(2 * 1024**3, ge=0, validation_alias="CACHE_BYTES", description="Memory.")
        names: tuple[str, ...] = Field((), description="Names.")
        secret: SecretStr | None = Field(None, description="A secret.")

    monkeypatch.setitem(configuration.SERVICES, "webapp", Settings)
    committed = configuration.DOCUMENT.read_text()
    changed = configuration.document_text(committed)
    assert changed != committed
    assert "| `WAIT_SECONDS` | seconds, more than 0 | 3 | How long \\| it \\<waits>. |" in changed
    assert "| `CACHE_BYTES` | whole number of bytes, at least 0 | 2147483648 (2 GiB) | Memory. |" in changed
    assert "| `NAMES` | JSON list of texts | `[]` | Names. |" in changed
    assert "| `SECRET` | secret text | unset | A secret. |" in changed


def test_a_setting_without_a_description_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Settings(BaseSettings):
        port: int = 1

    monkeypatch.setitem(configuration.SERVICES, "webapp", Settings)
    with pytest.raises(TypeError, match="the setting port has no description"):
        configuration.document_text(configuration.DOCUMENT.read_text())


def test_every_secret_is_written_by_init_env_or_named_there_for_the_user() -> None:
    secrets = set()
    for settings in configuration.SERVICES.values():
        for name, field in settings.model_fields.items():
            if "SecretStr" in str(field.annotation):
                secrets.add(field_variables(settings, name)[0])
    # read only where INFERENCE_SECRET is unset, which the stack always has
    secrets.remove("INFERENCE_CLIENT_KEY")
    assert secrets <= {*stack_env.SECRETS, *stack_env.USER_KEYS}
    text = stack_env.fresh_text()
    assert all(f"\n{name}=" in text for name in secrets & stack_env.SECRETS.keys())
    assert all(f"\n#{name}=" in text for name in stack_env.USER_KEYS)


@pytest.mark.parametrize("file", sorted(ROOT.glob(".env.inference.*")), ids=lambda file: file.name)
def test_committed_env_files_have_known_names_only(file: Path) -> None:
    names = {line.partition("=")[0] for line in file.read_text().splitlines() if line and not line.startswith("#")}
    assert names and names <= known_names(configuration.SERVICES["inference"])


def test_command_and_services_agree_on_the_prefixes() -> None:
    assert (stack_env.PREFIXES, stack_env.FAMILIES) == (PREFIXES, FAMILIES)
