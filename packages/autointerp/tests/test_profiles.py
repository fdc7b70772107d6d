"""Profiles of providers, the limits of their keys, and JSON in answers."""

import asyncio
import contextlib
import time
from pathlib import Path

import pytest
from memicos_autointerp_core.errors import ProviderError
from memicos_autointerp_core.providers import json_answers, rate_limit_headers
from memicos_autointerp_core.providers.json_answers import parse_json_answer
from memicos_autointerp_core.providers.profile import Profile, ProfileError, ProviderLimits, read_profiles
from memicos_autointerp_core.providers.rate_limiter import RateLimiter

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


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ('{"a": 1}', dict, {"a": 1}),
        ('I think {"a": 0} no:\n```json\n{"a": [1, {"b": 2}]}\n```\nDone {"a": 3}', dict, {"a": [1, {"b": 2}]}),
        ("<think>[0]</think>Texts: [1, 0, 1]", list, [1, 0, 1]),
        ("not { this } but [2]", list, [2]),
        ("<think>a</think>b<think>c</think>[3]<think> no end", list, [3]),
        ("```JSON  \n[1]\n``` and ```\n\n[2]\n```", list, [2]),
        ("```python\n[1]\n```", list, [1]),
        ("```\n[4] without an end", list, [4]),
        ("[see] " * 150 + "[5]", list, [5]),
    ],
)
def test_json_in_an_answer(text: str, kind: type, value: object) -> None:
    assert parse_json_answer(text, kind) == value


@pytest.mark.parametrize("text", ["", "[1, 2", "<think>[1]</think>", '{"a": 1}', "[" * 100_000])
def test_no_list_in_an_answer(text: str) -> None:
    with pytest.raises(ProviderError, match="no JSON list"):
        parse_json_answer(text, list)


LONGEST = json_answers.MAX_CHARACTERS


@pytest.mark.parametrize(
    "part",
    [
        "<think>",
        "<think></think><think>",
        "```",
        "```\n",
        "```json ",
        "[",
        "{",
        '{"a":',
        '["a',
        "[1,",
        '[1,"',
        "\n",
        "[0] ",
        "```\n[1,\n",
        "```\n[[1\n```\n",
    ],
)
@pytest.mark.parametrize("start", ["", "```", "[" * 190, "```\n" + "[" * 190])
def test_the_time_of_a_long_answer_is_bounded(part: str, start: str) -> None:
    text = (start + part * LONGEST)[:LONGEST]
    begin = time.process_time()
    with contextlib.suppress(ProviderError):
        parse_json_answer(text)
    assert time.process_time() - begin < 0.5


def test_an_answer_that_is_too_long_is_not_searched() -> None:
    begin = time.process_time()
    with pytest.raises(ProviderError, match="4,000,001 characters; at most 200,000"):
        parse_json_answer("<think>" * 4 + "[" * 3_999_973)
    assert parse_json_answer(f"<think>{'[' * 4_000_000}</think>[1]", list) == [1]
    assert time.process_time() - begin < 0.5
