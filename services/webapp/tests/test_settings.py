"""Settings: every one is read from its variable, and invalid values are refused."""

from typing import Any

import pytest
from memicos_webapp.settings import Settings, read, variable


def names() -> dict[str, str]:
    return {name: variable(name) for name in Settings.model_fields}


def test_every_setting_is_read_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    other_values: dict[str, Any] = {
        "MEMICOS_HOST": "::1",
        "MEMICOS_DATA": "there",
        "MEMICOS_ROOT_PATH": "/other",
        "MEMICOS_EMBEDDER": "minilm",
        "MEMICOS_LOG_FORMAT": "json",
        "MEMICOS_INFERENCE_HOSTS": "other=http://other",
        "MEMICOS_SECRET_KEY": "other" * 10,
        "MEMICOS_IMPORT_ROOTS": "https://other/data",
        "MEMICOS_TRUSTED_PROXIES": "10.0.0.0/8",
        "MEMICOS_PUBLISHED_PORT": "3001",
        "MEMICOS_MAX_CONNECTIONS": "99",
    }
    expected = {}
    for name, set_by in names().items():
        default = Settings.model_fields[name].default
        value = other_values.get(set_by, "http://other" if set_by.endswith("_URL") else "other")
        if isinstance(default, bool):
            value = str(not default)
        elif isinstance(default, int | float):
            value = str(default / 2) if isinstance(default, float) else str(default + 1)
        monkeypatch.setenv(set_by, value)
        expected[name] = value
    read = Settings(_env_file=None)  # pyright: ignore[reportCallIssue]
    for name, value in expected.items():
        setting = getattr(read, name)
        plain_value = setting.get_secret_value() if hasattr(setting, "get_secret_value") else str(setting)
        assert plain_value == value or float(plain_value) == float(value), name
    # secrets are not logged
    assert "other" not in repr(read.openai_api_key) + repr(read.inference_secret) + repr(read.autointerp_secret)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MEMICOS_PORT", "0x10"),
        ("MEMICOS_PORT", "0"),
        ("MEMICOS_LOG_FORMAT", "xml"),
        ("INFERENCE_URL", "localhost:5002"),
        ("MEMICOS_INFERENCE_HOSTS", "http://127.0.0.1:5002"),
        ("MEMICOS_INFERENCE_HOSTS", "gpt2=127.0.0.1:5002"),
        ("MEMICOS_INFERENCE_HOSTS", "gpt2=ftp://127.0.0.1"),
        ("MEMICOS_INFERENCE_HOSTS", "gpt2=http://user:password@127.0.0.1"),
        ("MEMICOS_INFERENCE_HOSTS", "gpt2=http://127.0.0.1:99999"),
        ("MEMICOS_INFERENCE_HOSTS", "gpt2=http://one,gpt2=http://two"),
        ("MEMICOS_INFERENCE_HOSTS", "one=http://host/,two=http://host"),
        ("MEMICOS_INFERENCE_HOSTS", "GPT 2=http://host"),
        ("MEMICOS_INFERENCE_HOSTS", ","),
        ("AUTOINTERP_URL", "ftp://host"),
        ("MEMICOS_EMBEDDER", "word2vec"),
        ("MEMICOS_EMBEDDER", "openai"),
        ("MEMICOS_STEER_TOKENS", "0"),
        ("MEMICOS_SEARCH_DENSE_SHARE", "1.5"),
        ("MEMICOS_AUTOINTERP_SECONDS", "0"),
    ],
)
def test_invalid_settings_are_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as caught:
        read("embed")
    message = str(caught.value.code)
    assert message.startswith("embed: bad setting: ") and name in message and "\n" not in message
    # it may be a secret
    assert "password@" not in message


def test_empty_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in names().values():
        monkeypatch.delenv(name, raising=False)
    unset = Settings(_env_file=None)  # pyright: ignore[reportCallIssue]
    for name in names().values():
        monkeypatch.setenv(name, "")
    read = Settings(_env_file=None)  # pyright: ignore[reportCallIssue]
    assert read == unset and read.preferred_embedder == "minilm"
