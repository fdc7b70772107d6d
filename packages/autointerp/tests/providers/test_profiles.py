"""Profiles of providers, and the limits of their keys."""

import asyncio
import time
from pathlib import Path

import pytest
from memicos_autointerp_core.providers.limits import rate_limit_headers
from memicos_autointerp_core.providers.limits.rate_limiter import RateLimiter
from memicos_autointerp_core.providers.profile import Profile, ProfileError, ProviderLimits, read_profiles

PROFILES = """
[ollama]
base_url = "http://127.0.0.1:11434/v1/"
needs_key = false
models = ["qwen3:8b"]

[openai]
base_url = "https://api.openai.com/v1"
key_variable = "SOME_TEST_KEY"
models = ["gpt-4.1-mini"]
structured_output = true
limits = {concurrency = 50, requests_per_minute = 5000, tokens_per_minute = 4e6}
prices = {"gpt-4.1-mini" = {input = 0.4, output = 1.6}}
"""


def test_profiles_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "profiles.toml"
    file.write_text(PROFILES)
    profiles = read_profiles(file)
    assert list(profiles) == ["ollama", "openai"]
    ollama, openai = profiles.values()
    assert (ollama.base_url, ollama.max_tokens_name) == ("http://127.0.0.1:11434/v1", "max_tokens")
    assert (openai.max_tokens_name, openai.limits.concurrency) == ("max_completion_tokens", 50)
    assert openai.cost("gpt-4.1-mini", 1_000_000, 500_000) == pytest.approx(1.2)
    assert openai.read_key() is None and ollama.read_key() is None
    monkeypatch.setenv("SOME_TEST_KEY", " sk-1 ")
    key = openai.read_key()
    assert key and key.get_secret_value() == "sk-1" and "sk-1" not in repr(openai)
    (tmp_path / "key").write_text("sk-2\n")
    key = openai.model_copy(update={"key_variable": None, "key_file": tmp_path / "key"}).read_key()
    assert key and key.get_secret_value() == "sk-2"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "is not TOML"),
        ("ollama = 1", "profile ollama is not a table"),
        ('[a]\nbase_url = "ftp://a"', "profile a: base_url: a base URL starts with http"),
        ('[a]\nbase_url = "http://u:secret@a"', "credentials"),
        ('["A b"]\nbase_url = "http://a"', "profile A b: name"),
        ('[a]\nbase_url = "http://a"\nkey = "sk-secret"', "profile a: key: Extra inputs"),
        ('[a]\nbase_url = "http://a"\nlimits = {concurrency = 0}', "profile a: limits.concurrency"),
    ],
)
def test_a_wrong_profile_is_named(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "profiles.toml"
    file.write_text(text)
    with pytest.raises(ProfileError, match=message) as caught:
        read_profiles(file)
    assert str(file) in str(caught.value) and "secret" not in str(caught.value)


def test_a_missing_file_or_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"none\.toml cannot be read"):
        read_profiles(tmp_path / "none.toml")
    profile = Profile.model_validate({"name": "a", "base_url": "http://a", "key_file": tmp_path / "none"})
    with pytest.raises(ProfileError, match="profile a: key_file"):
        profile.read_key()


async def starts(limits: ProviderLimits, count: int, tokens: int = 0) -> list[float]:
    """Seconds from the beginning until each call began."""
    limiter = RateLimiter(limits)
    begun: list[float] = []
    started = time.monotonic()

    async def call() -> None:
        async with limiter.call(tokens):
            begun.append(time.monotonic() - started)

    await asyncio.gather(*(call() for _ in range(count)))
    return begun


async def test_no_window_holds_more_requests_than_the_rate() -> None:
    """6000 a minute are 100 a second: 98 of them after the burst of one second."""
    begun = await starts(ProviderLimits(concurrency=300, requests_per_minute=6000), 200)
    last = begun[-1]
    assert 0.95 * (200 - 98) / 98 <= last <= 1.2 * (200 - 98) / 98
    for start in begun:
        window = 0.5
        in_window = sum(start <= other < start + window for other in begun)
        assert in_window <= 98 * (1 + window) + 2


async def test_tokens_limit_the_rate_as_well() -> None:
    begun = await starts(ProviderLimits(concurrency=300, tokens_per_minute=60_000), 30, tokens=50)
    # 980 tokens a second: 20 calls of 50 in the first second's burst, the others 51 ms apart
    assert 0.45 <= begun[-1] <= 0.8


async def test_concurrency_is_bounded() -> None:
    limiter = RateLimiter(ProviderLimits(concurrency=3))
    running = most = 0

    async def call() -> None:
        nonlocal running, most
        async with limiter.call(0):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01)
            running -= 1

    await asyncio.gather(*(call() for _ in range(12)))
    assert most == 3


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert rate_limit_headers.retry_after(headers) == seconds


@pytest.mark.parametrize(
    ("remaining", "reset", "seconds"),
    [("0", "6m0s", 360), ("0", "20ms", 0.02), ("0", "1.5", 1.5), ("1", "6m0s", 0), ("0", "x", 0), ("0", "2m x", 0)],
)
def test_used_up_limits(remaining: str, reset: str, seconds: float) -> None:
    headers = {"x-ratelimit-remaining-tokens": remaining, "x-ratelimit-reset-tokens": reset}
    assert rate_limit_headers.exhausted_for(headers) == seconds


def test_a_date_of_reset() -> None:
    headers = {"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": "2015-10-21T07:28Z"}
    assert rate_limit_headers.exhausted_for(headers) == 0
