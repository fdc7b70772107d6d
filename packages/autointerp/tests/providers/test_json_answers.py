"""JSON in the answers of models, and the time to find it in hostile ones."""

import contextlib
import gc
import time
from collections.abc import Iterator

import pytest
from memicos_autointerp_core.errors import ProviderError
from memicos_autointerp_core.providers import json_answers
from memicos_autointerp_core.providers.json_answers import parse_json_answer


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


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
    """The lists of an answer begin a collection, whose time grows with what other tests left in memory."""
    gc.disable()
    yield
    gc.enable()


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
@pytest.mark.usefixtures("no_garbage_collection")
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
