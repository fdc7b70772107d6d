"""What /metrics counts, after requests whose tokens, rows and outcomes are known; and the dashboard that reads it."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from memicos_engine.errors import LoadError
from memicos_engine.generation.decoder import Decoder
from memicos_inference import model_loading
from memicos_inference.app import create_app
from memicos_inference.settings import Settings
from memicos_testing.models.small_model import NAME
from memicos_testing.servers import Serve, running
from prometheus_client.parser import text_string_to_metric_families

MakeSettings = Callable[..., Settings]
DASHBOARD = Path(__file__).parents[4] / "deploy/grafana/memicos-inference.json"
PROMPTS = ["Alice sat", "Alice was beginning to get very tired of sitting by her sister"]
CAPTURE = {"model": NAME, "prompt": PROMPTS[0], "source": "1-small", "index": 3}
WRITE: dict[str, Any] = {
    "model": NAME,
    "prompt": PROMPTS[1],
    "types": ["STEERED", "DEFAULT"],
    "features": [{"model": NAME, "source": "1-small", "index": 3, "strength": 1}],
    "n_completion_tokens": 7,
    # a high temperature, so that no EOS ends it early
    "temperature": 50,
    "seed": 3,
}


class Counts:
    """A response of /metrics: the value of a sample by its name (without prefix) and labels; 0 if it is absent."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.samples = {
            (sample.name.removeprefix("memicos_inference_"), tuple(sorted(sample.labels.items()))): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        return self.samples.get((name, tuple(sorted(labels.items()))), 0.0)


async def counts(http: httpx.AsyncClient) -> Counts:
    response = await http.get("/metrics")
    assert response.status_code == 200 and response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return Counts(response.text)


async def until(http: httpx.AsyncClient, condition: Callable[[Counts], bool]) -> Counts:
    samples = await counts(http)
    for _ in range(200):
        if condition(samples):
            return samples
        await asyncio.sleep(0.02)
        samples = await counts(http)
    raise AssertionError(samples.samples)


async def test_metrics_of_known_requests(serve: Serve, tokenize: Callable[[str], list[int]]) -> None:
    url = await serve(sae_sets=("small",))
    short, long = (len(tokenize(prompt)) for prompt in PROMPTS)
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        at_first = await counts(http)
        assert at_first("model_state", state="ready") == 1 and at_first("model_state", state="loading") == 0
        assert at_first("tokens_in_total", kind="capture") == at_first("tokens_out_total") == 0  # not the self-test's
        assert (await http.post("/v1/activation/single", json=CAPTURE)).status_code == 200
        batch = {"model": NAME, "prompts": PROMPTS, "source": "1-small", "index": 3}
        assert (await http.post("/v1/activation/single-batch", json=batch)).status_code == 200
        assert (await http.post("/v1/tokenize", json={"model": NAME, "text": "Alice"})).status_code == 200
        assert (await http.post("/v1/steer/completion", json=WRITE)).status_code == 200
        assert (await http.post("/v1/steer/completion", json=WRITE | {"stream": True})).status_code == 200
        assert (await http.post("/v1/activation/single", json=CAPTURE | {"source": "9-none"})).status_code == 400
        assert (await http.post("/v1/activation/single", json={"model": NAME, "prompt": 5})).status_code == 422
        for path in ("/v1/none", "/Alice/sat", "/v1/activation/single/x"):
            assert (await http.get(path)).status_code == 404
        samples = await counts(http)

    single, two, steer = "/v1/activation/single", "/v1/activation/single-batch", "/v1/steer/completion"
    expected = {(single, "200"): 1, (single, "400"): 1, (single, "422"): 1, (two, "200"): 1, (steer, "200"): 2}
    for (endpoint, status), number in expected.items():
        assert samples("requests_total", endpoint=endpoint, status=status) == number
    assert samples("requests_total", endpoint="other", status="404") == 3
    assert samples("request_seconds_count", endpoint=single) == 3
    assert samples("stream_first_byte_seconds_count", endpoint=steer) == 1
    first, total = (
        samples("stream_first_byte_seconds_sum", endpoint=steer),
        samples("request_seconds_sum", endpoint=steer),
    )
    assert 0 < first < total
    assert samples("refusals_total", cause="invalid_request") == 2 and samples("refusals_total", cause="not_found") == 3
    assert samples("refusals_total", cause="internal") == 0

    assert [samples("wait_seconds_count", kind=kind) for kind in ("capture", "text", "direct")] == [2, 2, 1]
    assert samples("tokens_in_total", kind="capture") == short + (short + long)
    assert samples("run_prompts_count", kind="capture") == 2 and samples("run_prompts_sum", kind="capture") == 3
    assert samples("run_tokens_sum", kind="capture") == short + 2 * long
    # STEERED and DEFAULT are a row each; the run of the prompt gives the first token of a row
    assert samples("tokens_in_total", kind="text") == samples("run_tokens_sum", kind="text") == 2 * 2 * long
    assert samples("run_prompts_count", kind="text") == 2 and samples("run_prompts_sum", kind="text") == 4
    assert samples("tokens_out_total") == 2 * 2 * 7
    assert samples("step_rows_count") == 2 * 6 and samples("step_rows_sum") == 2 * 2 * 6
    assert samples("step_rows_bucket", le="1.0") == 0 and samples("step_rows_bucket", le="2.0") == 12

    assert samples("sources_loaded") == 1 and samples("sources_loaded_limit") == 300
    # encoder and decoder of 96 features of width 128 in float32, and little more
    assert 1 < samples("sources_loaded_bytes") / (4 * 2 * 128 * 96) < 1.05
    assert samples("rows") == samples("kv_bytes") == 0 and samples("selftest_failed_checks") == 0
    assert samples("process_resident_memory_bytes") > 1e8


async def test_padding_and_slices_are_counted_apart(serve: Serve, tokenize: Callable[[str], list[int]]) -> None:
    url = await serve(slice_tokens=1, sae_sets=("small",))  # 8 tokens at a time while nothing is written
    long = len(tokenize(PROMPTS[1]))
    slices = -(-long // 8)
    assert slices > 1
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        assert (await http.post("/v1/activation/single", json=CAPTURE | {"prompt": PROMPTS[1]})).status_code == 200
        assert (await http.post("/v1/steer/completion", json=WRITE | {"types": ["DEFAULT"]})).status_code == 200
        samples = await counts(http)
    for kind in ("capture", "text"):
        assert samples("run_prompts_count", kind=kind) == slices, kind
        assert samples("tokens_in_total", kind=kind) == samples("run_tokens_sum", kind=kind) == long
    assert samples("wait_seconds_count", kind="capture") == samples("wait_seconds_count", kind="text") == 1


async def test_gauges_and_counts_of_cancelled_and_refused_requests(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A held step: running and waiting requests are visible in /metrics meanwhile."""
    held, go = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    real = Decoder.step

    def step(self: Decoder) -> Any:
        loop.call_soon_threadsafe(held.set)
        asyncio.run_coroutine_threadsafe(go.wait(), loop).result(30)
        return real(self)

    url = await serve(sae_sets=("small",), max_rows=2, max_waiting=2)
    monkeypatch.setattr(Decoder, "step", step)
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        first = asyncio.create_task(http.post("/v1/steer/completion", json=WRITE))
        await held.wait()
        waiting = [asyncio.create_task(http.post("/v1/activation/single", json=CAPTURE)) for _ in range(2)]
        now = await until(http, lambda samples: samples("waiting", kind="new") == 2)
        assert now("rows") == 2 and now("rows_limit") == 2 and now("waiting_limit") == 2
        # 4 layers, 2 heads of 32, keys and values in float32, of two rows
        assert now("kv_bytes") > 0 and now("kv_bytes") % (2 * 4 * 2 * 32 * 4 * 2) == 0
        assert (await http.post("/v1/activation/single", json=CAPTURE)).status_code == 503
        waiting[0].cancel()
        await until(
            http, lambda samples: samples("requests_total", endpoint="/v1/activation/single", status="499") == 1
        )
        go.set()
        assert (await first).status_code == (await waiting[1]).status_code == 200
        async with http.stream("POST", "/v1/steer/completion", json=WRITE | {"stream": True}) as stream:
            async for _ in stream.aiter_lines():
                break
        after_cancel = await until(
            http, lambda samples: samples("requests_total", endpoint="/v1/steer/completion", status="499") == 1
        )
        final_samples = await until(http, lambda samples: samples("rows") == 0)
    assert after_cancel("requests_total", endpoint="/v1/steer/completion", status="200") == 1
    assert after_cancel("requests_total", endpoint="/v1/activation/single", status="503") == 1
    assert after_cancel("refusals_total", cause="busy") == 1
    # of the three captures one was cancelled and one refused
    assert final_samples("wait_seconds_count", kind="capture") == 1 and final_samples("kv_bytes") == 0


async def test_errors_in_a_stream_are_counted(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    url = await serve(sae_sets=("small",))

    def step(self: Decoder) -> Any:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(Decoder, "step", step)
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        assert (await http.post("/v1/steer/completion", json=WRITE | {"stream": True})).status_code == 200
        assert (await http.post("/v1/steer/completion", json=WRITE)).status_code == 500
        samples = await counts(http)
    assert samples("refusals_total", cause="internal") == 2
    assert samples("requests_total", endpoint="/v1/steer/completion", status="500") == 1


async def test_metrics_are_served_while_the_model_loads_without_a_secret_and_per_application(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = asyncio.Event()
    loop = asyncio.get_running_loop()

    def load(*_: Any) -> Any:
        asyncio.run_coroutine_threadsafe(go.wait(), loop).result(30)
        raise LoadError("there is none")

    monkeypatch.setattr(model_loading, "load_model", load)
    async with (
        running(create_app(settings(secret="open sesame"))) as url,
        running(create_app(settings())) as other,
        httpx.AsyncClient(base_url=url) as http,
        httpx.AsyncClient(base_url=other) as http_of_other,
    ):
        assert (await http.post("/v1/activation/single", json=CAPTURE)).status_code == 401
        secret = {"X-SECRET-KEY": "open sesame"}
        assert (await http.post("/v1/activation/single", json=CAPTURE, headers=secret)).status_code == 503
        samples, of_other = await counts(http), await counts(http_of_other)
        go.set()
        await until(http, lambda samples: samples("model_state", state="failed") == 1)
    assert samples("model_state", state="loading") == 1 and ("rows", ()) not in samples.samples
    assert (
        samples("requests_total", endpoint="other", status="401") == 1
        and samples("refusals_total", cause="loading") == 1
    )
    assert of_other("refusals_total", cause="loading") == of_other("refusals_total", cause="wrong_secret") == 0


async def test_metrics_have_no_content_of_requests(url: str) -> None:
    word = "Zyzzyva"
    async with httpx.AsyncClient(base_url=url, timeout=60, headers={"X-Client-ID": word}) as http:
        for path, body in (
            ("/v1/activation/single", CAPTURE | {"prompt": word}),
            ("/v1/activation/single", CAPTURE | {"source": word}),
            ("/v1/activation/single", {"model": word}),
            ("/v1/steer/completion", WRITE | {"prompt": word, "stream": True}),
            (f"/{word}", {}),
            (f"/v1/admin/sources/{word}", {}),
        ):
            await http.post(path, json=body)
        await http.request(word.upper(), "/v1/tokenize")
        await http.delete(f"/v1/admin/sources/{word}")  # the only path with a variable
        text = (await http.get("/metrics")).text
    assert word.lower() not in text.lower() and 'endpoint="/v1/admin/sources/{' in text


async def test_caches_are_counted(serve: Serve) -> None:
    url = await serve(text_cache_bytes=2**20, residual_cache_bytes=2**20)
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        for index, strength in ((3, 1), (4, 2), (5, 3)):
            feature = WRITE["features"][0] | {"strength": strength}
            assert (await http.post("/v1/activation/single", json=CAPTURE | {"index": index})).status_code == 200
            assert (await http.post("/v1/steer/completion", json=WRITE | {"features": [feature]})).status_code == 200
        samples = await counts(http)
    for cache in ("texts", "residuals"):
        assert samples("cache_hits_total", cache=cache) == 2 and samples("cache_misses_total", cache=cache) == 1
        assert 0 < samples("cache_bytes", cache=cache) < 2**20
    # cached texts are not generated again: the steered text 3 times, the other one once
    assert samples("tokens_out_total") == 7 * 4


async def test_the_dashboard_uses_existing_metrics(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        await http.post("/v1/activation/single", json=CAPTURE)
        await http.post("/v1/steer/completion", json=WRITE | {"stream": True})
        text = (await http.get("/metrics")).text
    exported_names = set(re.findall(r"^# HELP (\S+)", text, re.M)) | set(re.findall(r"^([a-z_]+)[{ ]", text, re.M))
    dashboard = json.loads(DASHBOARD.read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    read = {
        name
        for panel in panels
        for target in panel["targets"]
        for name in re.findall(r"\b(?:memicos|process|python)_[a-z_]+", target["expr"])
    }
    assert read <= exported_names, read - exported_names
    # the dashboard shows all metrics of our own, except for bucket internals
    own_names = {name for name in re.findall(r"^# HELP (memicos_\S+)", text, re.M) if not name.endswith("_created")}
    dashboard_names = {name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum") for name in read}
    assert own_names <= dashboard_names, own_names - dashboard_names
    assert dashboard["schemaVersion"] >= 39
    assert all(target["datasource"]["uid"] == "${datasource}" for panel in panels for target in panel["targets"])
    variables = {item["name"]: item for item in dashboard["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource" and variables["datasource"]["query"] == "prometheus"
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
