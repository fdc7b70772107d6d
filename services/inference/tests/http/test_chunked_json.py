"""JSON in chunks equals JSON in one piece, and other work runs between chunks."""

import random
import time
from typing import Any

import pytest
from memicos_inference.activation.raw_schemas import RawActivation, RawResponse, RawResult
from memicos_inference.activation.schemas import (
    AllBatchResponse,
    AllResponse,
    FeatureActivation,
    SourceResponse,
    SourceResult,
)
from memicos_inference.http import chunked_json


def _numbers(draw: random.Random, n: int) -> list[float]:
    return [draw.gauss(0, 1) for _ in range(n)]


def _all_response(draw: random.Random) -> AllResponse:
    hits = [
        FeatureActivation.model_construct(
            source='0-"x"',
            index=draw.randrange(99),
            values=_numbers(draw, 7),
            sum_values=None,
            max_value=1.0,
            max_value_index=2,
            dfa_values=None,
            dfa_max_value=None,
            dfa_target_index=None,
        )
        for _ in range(draw.randrange(9))
    ]
    return AllResponse.model_construct(
        activations=hits,
        tokens=["é", '"', "\n"],
        tokens_is_special=[True, False],
        token_ids=[1, 2],
        counts=[[0, 1], []],
        sources=[],
    )


def _answers(draw: random.Random) -> list[Any]:
    rows = [_numbers(draw, 5) for _ in range(draw.randrange(12))]
    raw = RawActivation.model_construct(layer=None, hook="h", token_indices=list(range(len(rows))), values=rows)
    result = RawResult.model_construct(token_strings=["a"], token_ids=[1], activations=[raw, raw])
    active = {str(index): [(3, 1.5)] * draw.randrange(1, 30) for index in range(draw.randrange(20))}
    source = SourceResult.model_construct(
        active_features=active, tokens=[], tokens_is_special=[], token_ids=[], ignored_positions=[]
    )
    return [
        RawResponse.model_construct(
            hook_point=None, type="values", dtype="float32", device="cpu", results=[result] * 3, recipe=None
        ),
        AllBatchResponse.model_construct(results=[_all_response(draw) for _ in range(draw.randrange(6))]),
        SourceResponse.model_construct(results=[source, source], recipe=None),
    ]


@pytest.mark.parametrize("part", [1, 2, 7, 40, 100_000])
def test_chunks_joined_are_the_json_document(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked_json, "CHUNK_VALUES", part)
    monkeypatch.setattr(chunked_json, "TURN_SECONDS", 0)
    draw = random.Random(part)
    for _ in range(5):
        for response in _answers(draw):
            steps = chunked_json.json_in_chunks(response)
            turns = 0
            while True:
                try:
                    next(steps)
                    turns += 1
                except StopIteration as end:
                    assert end.value == response.model_dump_json(by_alias=True).encode()
                    break
            assert turns >= 1


def test_a_large_response_does_not_block_the_event_loop() -> None:
    rows = [[0.1234567] * 500 for _ in range(2000)]
    raw = RawActivation.model_construct(layer=1, hook="h", token_indices=[], values=rows)
    result = RawResult.model_construct(token_strings=[], token_ids=[], activations=[raw])
    response = RawResponse.model_construct(
        hook_point=None, type="values", dtype="float32", device="cpu", results=[result], recipe=None
    )
    started = time.perf_counter()
    response.model_dump_json()
    at_once = time.perf_counter() - started
    gaps, last = [], time.perf_counter()
    for part in chunked_json._chunks(response):
        assert len(part) < 2**20
        gaps.append(time.perf_counter() - last)
        last = time.perf_counter()
    assert sorted(gaps)[-2] < at_once / 5  # 50 parts and more
