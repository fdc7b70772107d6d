"""Unknown names: refused in an env file, one warning in the environment; addresses that orchestrators inject."""

import logging
from pathlib import Path

import pytest
from memicos_service import settings as service_settings
from memicos_service import variable_names
from memicos_service.variable_names import ServiceSettings
from pydantic import AliasChoices, Field
from pydantic_settings import SettingsConfigDict


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="INFERENCE_", extra="ignore", populate_by_name=True)

    port: int = Field(5002, ge=1)
    own_setting: str = Field("", validation_alias=AliasChoices("INFERENCE_OWN_SETTING", "OWN"))


def env_file(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "some.env"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "# comment\n\nINFERENCE_PRT=1\n",
            "line 3 of {file}: unknown variable INFERENCE_PRT; the most similar name is INFERENCE_PORT",
        ),
        (
            "export MEMICOS_ALOWED_HOSTS=a",
            "line 1 of {file}: unknown variable MEMICOS_ALOWED_HOSTS; the most similar name is MEMICOS_ALLOWED_HOSTS",
        ),
        ("A='1\n2'\nautointerp_kee=1", "line 3 of {file}: unknown variable autointerp_kee"),
        ("INFERENCE_QQQQXXXXZZZZ=1", "line 1 of {file}: unknown variable INFERENCE_QQQQXXXXZZZZ"),
        ("INFERENCE_PORT=1\nINFERENCE_POR", "line 2 of {file} is not NAME=value"),
    ],
)
def test_an_unknown_name_in_an_env_file_is_refused_with_the_nearest_one(
    tmp_path: Path, text: str, message: str
) -> None:
    file = env_file(tmp_path, text)
    with pytest.raises(SystemExit) as caught:
        service_settings.read_or_exit("inference", Settings, file)
    assert str(caught.value).startswith("inference: " + message.format(file=file))
    assert "\n" not in str(caught.value)


def test_known_names_of_every_service_and_unprefixed_names_are_accepted(tmp_path: Path) -> None:
    file = env_file(
        tmp_path,
        "INFERENCE_PORT=7\nOWN=x\nMEMICOS_PORT=1\nAUTOINTERP_API_KEY=k\nHF_HOME=/h\nmemicosx=1\nINFERENCE_SECRET_GPT2=s\n",
    )
    settings = service_settings.read(Settings, file)
    assert (settings.port, settings.own_setting) == (7, "x")


def test_the_class_own_env_file_is_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class WithFile(Settings):
        model_config = SettingsConfigDict(env_file=".env")

    monkeypatch.chdir(tmp_path)
    assert service_settings.read(WithFile).port == 5002
    (tmp_path / ".env").write_text("INFERENCE_PORT=9\n")
    assert service_settings.read(WithFile).port == 9
    (tmp_path / ".env").write_text("INFERENCE_PROT=9\n")
    with pytest.raises(ValueError, match=r"line 1 of \.env: unknown variable INFERENCE_PROT"):
        service_settings.read(WithFile)


def test_an_injected_address_is_not_used_as_a_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes sets it for a service named `inference`; the env file, or the default, is used."""
    monkeypatch.setenv("INFERENCE_PORT", "tcp://10.0.0.7:5002")
    assert service_settings.read(Settings).port == 5002
    assert service_settings.read(Settings, env_file(tmp_path, "INFERENCE_PORT=7\n")).port == 7
    with pytest.raises(SystemExit, match="INFERENCE_PORT"):
        service_settings.read_or_exit("inference", Settings, env_file(tmp_path, "INFERENCE_PORT=tcp://10.0.0.7:1\n"))
    # a port that only another service reads, too
    with pytest.raises(ValueError, match=r"line 2 of .*: AUTOINTERP_PORT is the address of a service, not a port"):
        service_settings.read(Settings, env_file(tmp_path, "OWN=x\nAUTOINTERP_PORT=tcp://10.0.0.7:5003\n"))
    monkeypatch.setenv("INFERENCE_PORT", "http://10.0.0.7:5002")
    with pytest.raises(SystemExit, match="INFERENCE_PORT"):
        service_settings.read_or_exit("inference", Settings)


def test_one_warning_names_what_is_ignored_without_values(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("INFERENCE_PORT", "INFERENCE_PORT_5002_TCP"):
        monkeypatch.setenv(name, "tcp://10.0.0.7:5002")
    monkeypatch.setenv("INFERENCE_SECRT", "hidden")
    monkeypatch.setenv("INFERENCE_OWN_SETTING", "fine")
    log = logging.getLogger("test")
    variable_names.warn_of_environment(log, Settings)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    text = record.getMessage()
    assert text.startswith("environment variables are ignored: INFERENCE_PORT: the address of a service (tcp://…)")
    assert "INFERENCE_SECRT (nearest name: INFERENCE_SECRET)" in text and "INFERENCE_PORT_5002_TCP" in text
    assert "hidden" not in text and "10.0.0.7" not in text and "OWN_SETTING" not in text


def test_an_environment_of_known_names_is_not_warned_of() -> None:
    environment = {"INFERENCE_PORT": "1", "MEMICOS_PORT": "2", "PATH": "/bin", "INFERENCE_OWN_SETTING": "x"}
    assert variable_names.warning(Settings, environment) is None
