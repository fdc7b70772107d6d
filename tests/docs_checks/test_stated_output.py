"""The comparison of printed and stated output finds differences, and `…` matches anything."""

import pytest
from memicos_testing.stated_output import json_differences, text_differences


@pytest.mark.parametrize(
    ("stated", "printed"),
    [
        ('{"a": 25.89, "b": [0.0, 1]}', '{"b": [0.0, 1], "a": 25.8934}'),
        ('{"a": 1, …}', '{"a": 1, "b": 2}'),
        ('{"a": {"b": "c", …}, …}', '{"a": {"b": "c", "d": 0}, "e": 1}'),
        ('{"a": …, "b": [1, …]}', '{"a": {"x": 1}, "b": [1, 2, 3]}'),
        ('{"model": "gpt-…"}', '{"model": "gpt-4.1"}'),
    ],
)
def test_json_agrees(stated: str, printed: str) -> None:
    assert json_differences(stated, printed) == []


@pytest.mark.parametrize(
    ("stated", "printed", "problem"),
    [
        ('{"a": 1}', '{"a": 1, "b": 2}', "$.b is not stated"),
        ('{"a": 1, "b": 2}', '{"a": 1}', "$.b is missing"),
        ('{"a": 25.89}', '{"a": 27.1}', "$.a is 27.1, stated is 25.89"),
        ('{"a": 12}', '{"a": 13}', "$.a is 13, stated is 12"),
        ('{"a": "87"}', '{"a": 87}', "$.a is 87, stated is '87'"),
        ('{"a": 87}', '{"a": "87"}', "$.a is '87', stated is 87"),
        ('{"a": [1, 2]}', '{"a": [1]}', "$.a has 1 elements, stated are 2"),
        ('{"a": [1]}', '{"a": [1, 2]}', "$.a has 2 elements, stated are 1"),
        ('{"a": "gpt-…"}', '{"a": "claude"}', "$.a is 'claude', stated is 'gpt-…'"),
        ('{"a": null}', '{"a": false}', "$.a is False, stated is None"),
    ],
)
def test_json_differs(stated: str, printed: str, problem: str) -> None:
    assert json_differences(stated, printed) == [problem]


@pytest.mark.parametrize(
    ("stated", "printed"),
    [
        ("a  0.764\nb 4,096\n", "a 0.7641\nb   4,096\n"),
        ("a\n…\n", "a\nb\nc\n"),
        ("…\nb\n", "a\nb\n"),
        ("a … d\n", "a b c d\n"),
    ],
)
def test_text_agrees(stated: str, printed: str) -> None:
    assert text_differences(stated, printed) == []


@pytest.mark.parametrize(
    ("stated", "printed"),
    [
        ("a 0.764\n", "a 0.801\n"),
        ("a 4,096\n", "a 4,097\n"),
        ("a\n", "a\nb\n"),
        ("a\nb\n", "a\n"),
        ("a\n…\nd\n", "a\nb\n"),
    ],
)
def test_text_differs(stated: str, printed: str) -> None:
    assert len(text_differences(stated, printed)) == 1
