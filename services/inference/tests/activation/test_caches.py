"""Caches of unsteered texts and of activations: equal numbers for fewer forward passes."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from memicos_engine.capture import capture
from memicos_engine.generation.decoder import Decoder
from memicos_engine.generation.generation import Generation
from memicos_engine.model.language_model import LanguageModel
from memicos_testing.inference_metrics import until_rows
from memicos_testing.models import plain_model
from memicos_testing.models.small_model import NAME
from memicos_testing.servers import Serve

TEXT: dict[str, Any] = {
    "model": NAME,
    "prompt": "Alice sat on the",
    "types": ["STEERED", "DEFAULT"],
    "features": [{"model": NAME, "source": "1-small", "index": 3, "strength": 2.0}],
    "n_completion_tokens": 12,
    "temperature": 3.0,
    "seed": 5,
    "n_logprobs": 2,
}
KEPT = 2**20


class Runs:
    """Rows of each run of the decoder, and tokens of each run that captures."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.captured: list[int] = []


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    runs = Runs()
    step, captured = Decoder.step, capture._capture_by_modules

    def counted_step(self: Decoder) -> list[Generation]:
        runs.rows.append(self.n_batch_rows)
        return step(self)

    def counted_capture(model: Any, ids: Any, *rest: Any) -> Any:
        runs.captured.append(ids.numel())
        return captured(model, ids, *rest)

    monkeypatch.setattr(Decoder, "step", counted_step)
    monkeypatch.setattr(capture, "_capture_by_modules", counted_capture)
    yield runs


def _outputs(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    return {output["type"]: output for output in response.json()["outputs"]}


def _stronger(strength: float, **changed: Any) -> dict[str, Any]:
    return TEXT | {"features": [TEXT["features"][0] | {"strength": strength}]} | changed


async def test_a_changed_strength_generates_the_steered_row_only(serve: Serve, runs: Runs) -> None:
    url = await serve(text_cache_bytes=KEPT, selftest_seconds=0)
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:

        async def ask(body: dict[str, Any]) -> dict[str, Any]:
            runs.rows.clear()
            return _outputs(await http.post("/v1/steer/completion", json=body))

        first = await ask(TEXT)
        n = len(first["DEFAULT"]["token_ids"])
        assert max(runs.rows) == 2 and n == 12
        moved = await ask(_stronger(9.0))
        assert moved["DEFAULT"] == first["DEFAULT"] and moved["STEERED"] != first["STEERED"]
        assert set(runs.rows) == {1}
        # the cached DEFAULT text is the one that would be generated
        shorter = await ask(_stronger(4.0, n_completion_tokens=7))
        assert shorter["DEFAULT"]["token_ids"] == first["DEFAULT"]["token_ids"][:7]
        assert shorter["DEFAULT"]["logprobs"] == first["DEFAULT"]["logprobs"][:7]
        assert shorter["DEFAULT"]["finished"] == "length" and set(runs.rows) == {1}
        for changed in (
            {"n_completion_tokens": 20},
            {"seed": 6},
            {"temperature": 3.5},
            {"freq_penalty": 0.5},
            {"n_logprobs": 1},
            {"prompt": "Alice sat on a"},
        ):
            await ask(TEXT | changed)
            assert max(runs.rows) == 2, changed
        longer = await ask(_stronger(1.0, n_completion_tokens=20))
        assert set(runs.rows) == {1} and longer["DEFAULT"]["token_ids"][:12] == first["DEFAULT"]["token_ids"]
        # at temperature 0 nothing is sampled: seed and penalty have no effect
        greedy = await ask(TEXT | {"temperature": 0})
        repeated = await ask(_stronger(3.0, temperature=0, seed=99, freq_penalty=1))
        assert set(runs.rows) == {1} and repeated["DEFAULT"] == greedy["DEFAULT"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cached_complete_text_needs_no_step(serve: Serve, runs: Runs, stream: bool) -> None:
    url = await serve(text_cache_bytes=KEPT, selftest_seconds=0)
    body = TEXT | {"types": ["DEFAULT"], "features": [], "stream": stream}
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        first = await http.post("/v1/steer/completion", json=body)
        runs.rows.clear()
        second = await http.post("/v1/steer/completion", json=body)
        assert second.status_code == 200 and runs.rows == []
        if stream:
            frames = [json.loads(line[6:]) for line in second.text.splitlines() if line.startswith("data: ")]
            assert frames == [json.loads(first.text.strip().splitlines()[-1][6:])]
        else:
            assert second.json() == first.json()


async def test_a_cancelled_text_is_not_cached(serve: Serve, runs: Runs) -> None:
    url = await serve(text_cache_bytes=KEPT, selftest_seconds=0)
    body = TEXT | {"n_completion_tokens": 90, "stream": True}
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        async with http.stream("POST", "/v1/steer/completion", json=body) as response:
            await anext(response.aiter_lines())
        await until_rows(http, 0)
        runs.rows.clear()
        expected_outputs = _outputs(await http.post("/v1/steer/completion", json=body | {"stream": False}))
        assert max(runs.rows) == 2 and len(expected_outputs["DEFAULT"]["token_ids"]) == 90


async def test_a_repeated_prompt_does_not_run_the_model(
    serve: Serve, runs: Runs, hf: Any, tokenize: Callable[[str], list[int]], sources_folder: Any
) -> None:
    url = await serve(residual_cache_bytes=KEPT, selftest_seconds=0)
    runs.captured.clear()  # sources were tested when they were loaded
    prompt = "Alice sat on the bank"
    ids = tokenize(prompt)
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:

        async def values(path: str, **fields: Any) -> Any:
            response = await http.post(f"/v1/activation/{path}", json={"model": NAME, "prompt": prompt} | fields)
            assert response.status_code == 200, response.text
            return response.json()

        await values("single", source="2-small", index=3)
        assert runs.captured == [len(ids)]
        hidden = plain_model.residuals(hf, ids, [2])[2]
        for index in (4, 40):
            values_of_feature = (await values("single", source="2-small", index=index))["activation"]["values"]
            exact = plain_model.encode(sources_folder / "2-small", hidden)[0][:, index]
            assert np.allclose(values_of_feature, exact, atol=1e-4)
        tokens = (await values("topk-by-token", source="2-top"))["results"]
        assert len(tokens) == len(ids) - 1 and runs.captured == [len(ids)]
        # a layer that was not captured; another text; the same text without BOS
        await values("single", source="1-small", index=3)
        assert len(runs.captured) == 2
        await values("all", source_set="small", selected_sources=["1-small", "2-small"])
        assert len(runs.captured) == 2
        await values("single", source="2-small", index=3, prompt=prompt + "s")
        await http.post("/v1/activation/raw", json={"prompts": [prompt], "layers": [2], "prepend_bos": False})
        assert len(runs.captured) == 4


async def test_bytes_are_bounded(serve: Serve, runs: Runs) -> None:
    prompts = [f"Alice sat on bank {number}" for number in range(40)]
    url = await serve(residual_cache_bytes=40_000, selftest_seconds=0)
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:

        async def runs_of(prompt: str) -> int:
            before = len(runs.captured)
            body = {"model": NAME, "prompt": prompt, "source": "1-small", "index": 3}
            assert (await http.post("/v1/activation/single", json=body)).status_code == 200
            return len(runs.captured) - before

        assert [await runs_of(prompt) for prompt in prompts] == [1] * 40
        # the most recently used entries are kept, the least recently used evicted
        assert await runs_of(prompts[-1]) == 0 and await runs_of(prompts[0]) == 1
        # an entry larger than its share is not stored and evicts nothing
        long = "Alice " * 60
        assert await runs_of(long) == 1 and await runs_of(long) == 1 and await runs_of(prompts[0]) == 0


async def test_a_complete_row_of_a_cancelled_request_is_cached(
    serve: Serve, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the strength is changed during a run: DEFAULT has ended, STEERED has not."""
    url = await serve(text_cache_bytes=KEPT, selftest_seconds=0)
    both_changed = _stronger(30.0, temperature=0, n_completion_tokens=90)
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        both_outputs = _outputs(await http.post("/v1/steer/completion", json=both_changed))
        ids = {kind: output["token_ids"] for kind, output in both_outputs.items()}
        end = next(token for token in ids["DEFAULT"] if token not in ids["STEERED"])
        # from here on a text ends at this token
        monkeypatch.setattr(LanguageModel, "eos_token_ids", property(lambda _: frozenset({end})))
        both_changed |= {"seed": 1, "n_logprobs": 1}
        outputs: dict[str, Any] = {}
        async with http.stream("POST", "/v1/steer/completion", json=both_changed | {"stream": True}) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    outputs = {output["type"]: output for output in json.loads(line[6:])["outputs"]}
                    if outputs["DEFAULT"].get("finished"):
                        break
        assert outputs["DEFAULT"]["finished"] == "eos" and not outputs["STEERED"].get("finished")
        await until_rows(http, 0)
        runs.rows.clear()
        repeated = _outputs(await http.post("/v1/steer/completion", json=both_changed))
        assert repeated["DEFAULT"] == outputs["DEFAULT"] and set(runs.rows) == {1}
