"""Streams: deltas that add up to the response, their size, slow readers, and how a stream ends early."""

import asyncio
import copy
import itertools
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import torch
from memicos_engine.errors import InvalidRequestError
from memicos_engine.generation.decoder import Decoder
from memicos_engine.generation.generation import Generation
from memicos_inference.http.sse import event
from memicos_inference.scheduler.pending_request import PendingRequest
from memicos_inference_client import Client
from memicos_inference_client.api.steer import steer_completion
from memicos_inference_client.models import CompletionRequest, CompletionResponse, SteerDelta
from memicos_inference_client.sse import StreamError
from memicos_testing.json_bodies.event_stream import body_of, events, post_without_reading
from memicos_testing.models.small_model import NAME
from memicos_testing.servers import Serve
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

COMPLETION, CHAT = "/v1/steer/completion", "/v1/steer/completion-chat"
CHARACTERS = ["\U0001f40b", "\U0001f3fd", "€", "鯨", "é"]
SPECIAL = ["<pad>", "<unk>", "<bos>", "<eos>", *(f"<turn{i}>" for i in range(40))]
HOT: dict[str, Any] = {
    "model": NAME,
    "prompt": "Alice",
    "types": ["STEERED", "DEFAULT"],
    "features": [{"model": NAME, "source": "1-small", "index": 5, "strength": 300}],
    "n_completion_tokens": 60,
    # nearly uniform token probabilities
    "temperature": 10,
}
PROMPTS = {COMPLETION: "Alice", CHAT: [{"role": "user", "content": "Who is Alice?"}]}


def wild_tokenizer(size: int) -> PreTrainedTokenizerFast:
    """`size` tokens: single bytes, and the end of one character, a letter, and the beginning of another."""
    cuts = [(char.encode(), cut) for char in CHARACTERS for cut in range(1, len(char.encode()))]
    mixed = [
        a[i:] + letter + b[:j] for letter in (b"", *map(bytes, zip(range(97, 123)))) for a, i in cuts for b, j in cuts
    ]
    letters = bytes_to_unicode()
    tokens = [
        "".join(letters[byte] for byte in token_bytes) for token_bytes in [*(bytes([i]) for i in range(256)), *mixed]
    ]
    vocabulary = list(dict.fromkeys([*SPECIAL, *tokens]))[:size]
    tokenizer: Any = Tokenizer(models.BPE({word: i for i, word in enumerate(vocabulary)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    pad, unk, bos, eos, *turns = SPECIAL
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        unk_token=unk,
        bos_token=bos,
        eos_token=eos,
        additional_special_tokens=turns,
    )


@pytest.fixture(scope="module")
async def wild(serve_for_module: Serve, hf: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The small model with tokens that are parts of characters, any of 20 of which ends a text, and room for 1024."""
    folder = tmp_path_factory.mktemp("wild")
    model = copy.deepcopy(hf)
    model.config.max_position_embeddings = 1024
    model.generation_config.eos_token_id = [3, *range(900, 919)]
    model.save_pretrained(folder)
    wild_tokenizer(model.config.vocab_size).save_pretrained(folder)
    return await serve_for_module(custom_hf_model_id=str(folder), sae_sets=("small",), selftest_seconds=0)


def body(path: str, **values: Any) -> dict[str, Any]:
    return HOT | {"prompt": PROMPTS[path]} | values


async def streamed(http: httpx.AsyncClient, path: str, request_body: dict[str, Any]) -> list[tuple[str, Any]]:
    response = await http.post(path, json=request_body | {"stream": True})
    assert response.status_code == 200 and response.headers["content-type"].startswith("text/event-stream"), (
        response.text
    )
    return events(response.text)


def joined(deltas: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Outputs by type, joined from deltas as a client does."""
    outputs: dict[str, dict[str, Any]] = {}
    for item in (output for delta in deltas for output in delta["outputs"]):
        so_far = outputs.setdefault(item["type"], {"completion": "", "token_ids": [], "logprobs": [], "finished": None})
        assert so_far["finished"] is None and item["token_ids"]
        so_far["completion"] += item["completion"]
        so_far["token_ids"] += item["token_ids"]
        so_far["logprobs"] += item.get("logprobs", [])
        so_far["finished"] = item.get("finished")
    return outputs


def raw_texts(deltas: list[dict[str, Any]]) -> dict[str, str]:
    """The raw text of each conversation, joined from deltas as docs/inference.md describes."""
    parts = [output for delta in deltas for output in delta["outputs"]]
    prompt = deltas[0]["input"]["raw"]
    return {
        kind: prompt + "".join(part.get("raw", part["completion"]) for part in parts if part["type"] == kind)
        for kind in {part["type"] for part in parts}
    }


def expected_outputs(full_response: dict[str, Any]) -> dict[str, dict[str, Any]]:
    keys = ("completion", "token_ids", "finished")
    return {
        output["type"]: {"logprobs": output.get("logprobs", [])} | {key: output[key] for key in keys}
        for output in full_response["outputs"]
    }


@pytest.mark.parametrize("path", [COMPLETION, CHAT])
async def test_deltas_joined_are_the_response_and_the_last_event_has_it(wild: str, path: str) -> None:
    text, ends = "", set()
    async with httpx.AsyncClient(base_url=wild, timeout=60) as http:
        for seed in range(6):
            request_body = body(path, seed=seed, n_logprobs=seed % 3)
            full_response = (await http.post(path, json=request_body)).json()
            received = await streamed(http, path, request_body | {"stream_deltas": True})
            assert [name for name, _ in received] == ["delta"] * (len(received) - 1) + ["message"] and len(received) > 2
            assert received[-1][1] == full_response == (await streamed(http, path, request_body))[-1][1]
            deltas = [delta for _, delta in received[:-1]]
            assert joined(deltas) == expected_outputs(full_response)
            if path == CHAT:
                assert [delta.get("input") for delta in deltas] == [full_response["input"]] + [None] * (len(deltas) - 1)
                assert raw_texts(deltas) == {output["type"]: output["raw"] for output in full_response["outputs"]}
            for output in full_response["outputs"]:
                ends.add(output["finished"])
                text += output["completion"]
                if path == CHAT:
                    assert output["chat_template"][-1]["content"] == output["completion"]
                    # a turn that the model began is not hidden
                    generated = output["raw"].removeprefix(full_response["input"]["raw"])
                    assert output["completion"].count("<turn") == generated.count("<turn")
    assert ends == {"eos", "length"} and all(char in text for char in ("\U0001f3fd", "鯨", "\ufffd", "<turn"))


async def test_the_bytes_of_deltas_grow_with_the_tokens(wild: str) -> None:
    """Cumulative events grow with the square; a slow reader gets fewer of them."""
    sizes: dict[bool, list[int]] = {}
    async with httpx.AsyncClient(base_url=wild, timeout=60) as http:
        for deltas in (True, False):
            for number in (64, 128, 256):
                request_body = body(
                    COMPLETION, types=["DEFAULT"], temperature=0, n_completion_tokens=number, stream=True
                )
                response = await http.post(COMPLETION, json=request_body | {"stream_deltas": deltas})
                assert len(events(response.text)[-1][1]["outputs"][0]["token_ids"]) == number
                sizes.setdefault(deltas, []).append(len(response.content))
    assert all(later < 2.2 * before for before, later in itertools.pairwise(sizes[True])), sizes
    assert sizes[False][-1] > 5 * sizes[True][-1] and sizes[False][-1] > 3 * sizes[False][-2], sizes


async def test_a_slow_reader_misses_no_delta_and_no_error() -> None:
    work = PendingRequest("someone")
    for number in range(3):
        work.send_body(event(b"%d" % number, "delta"))
    work.send_body(None, final=True, error=ValueError("late"))
    await asyncio.sleep(0)
    chunks = work.bodies()
    assert await anext(chunks) == b"".join(b"event: delta\ndata: %d\n\n" % number for number in range(3))
    with pytest.raises(ValueError, match="late"):
        await anext(chunks)
    # a newer body replaces an unsent one
    work = PendingRequest("someone")
    work.send_body(b"1")
    work.send_body(b"12", final=True)
    await asyncio.sleep(0)
    assert [chunk async for chunk in work.bodies()] == [b"12"]


async def test_streams_with_the_generated_client(url: str, client: Client) -> None:
    request_body = CompletionRequest.from_dict(body(COMPLETION))
    full_response = await steer_completion.asyncio(client=client, body=request_body)
    received = [delta async for delta in steer_completion.astream_deltas(client=client, body=request_body)]
    assert received[-1] == full_response
    deltas = received[:-1]
    assert all(isinstance(item, SteerDelta) for item in deltas)
    assert joined([item.to_dict() for item in deltas]) == expected_outputs(received[-1].to_dict())

    def read() -> list[SteerDelta | CompletionResponse]:
        with Client(url) as blocking:
            return list(steer_completion.stream_deltas(client=blocking, body=request_body))

    assert (await asyncio.to_thread(read))[-1] == full_response


# ---- early ends of a stream


FAULTS: list[tuple[Exception, str, str]] = [
    (RuntimeError("a fault of ours"), "internal", "It has been logged as same."),
    (InvalidRequestError("The model's logits are not finite numbers any more"), "invalid_request", "not finite"),
    (torch.OutOfMemoryError("no more"), "out_of_memory", "no memory left"),
]


@pytest.mark.parametrize("deltas", [False, True])
@pytest.mark.parametrize(("fault", "cause", "message"), FAULTS, ids=[cause for _, cause, _ in FAULTS])
async def test_an_error_that_ends_a_stream_is_an_event(
    url: str,
    client: Client,
    fault: Exception,
    cause: str,
    message: str,
    deltas: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    real = Decoder.step

    def step(self: Decoder) -> list[Generation]:
        for generation in self.generations:
            if len(generation.ids[0]) == 3:
                if not isinstance(fault, InvalidRequestError):
                    raise fault
                generation.error = fault  # as if one row of several failed
        return real(self)

    monkeypatch.setattr(Decoder, "step", step)
    request_body = body(COMPLETION, stream=True, stream_deltas=deltas)
    # the message of an internal error has the id
    async with httpx.AsyncClient(base_url=url, headers={"X-Request-ID": "same"}) as http:
        *before, (name, error) = events((await http.post(COMPLETION, json=request_body)).text)
        plainly = await http.post(COMPLETION, json=body(COMPLETION))
    assert (
        name == "error" and error.keys() == {"error", "cause"} and error["cause"] == cause and message in error["error"]
    )
    assert before and {item for item, _ in before} == {"delta" if deltas else "message"}
    assert "fault of ours" not in error["error"]
    logged = [record for record in caplog.records if record.exc_info and record.exc_info[1] is fault]
    assert bool([item for item in logged if item.name.startswith("memicos_inference")]) == (cause == "internal")
    assert cause != "out_of_memory" or int(plainly.headers["retry-after"]) > 0
    assert plainly.json() == error and plainly.status_code == {"internal": 500, "invalid_request": 400}.get(cause, 503)

    function = steer_completion.astream_deltas if deltas else steer_completion.astream
    client_with_id = client.with_headers({"X-Request-ID": "same"})
    with pytest.raises(StreamError) as raised:
        async for _ in function(client=client_with_id, body=CompletionRequest.from_dict(body(COMPLETION))):
            pass
    assert (raised.value.error, raised.value.cause) == (error["error"], cause)


# ---- clients that do not read


@pytest.fixture
def decoder(real_probe: None, monkeypatch: pytest.MonkeyPatch) -> list[Decoder]:
    """The decoder that took the last step; each takes 5 ms longer."""
    seen: list[Decoder] = []
    real = Decoder.step

    def step(self: Decoder) -> list[Generation]:
        seen[:] = [self]
        time.sleep(0.005)
        return real(self)

    monkeypatch.setattr(Decoder, "step", step)
    return seen


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 (the decoder has no event for it)
            await asyncio.sleep(0.01)


async def test_a_client_that_does_not_read_does_not_delay_others(wild: str, decoder: list[Decoder]) -> None:
    large_body = body(COMPLETION, types=["DEFAULT"], temperature=0, n_logprobs=10, stream=True, n_completion_tokens=900)
    stopped = post_without_reading(wild + COMPLETION, large_body)
    async with httpx.AsyncClient(base_url=wild, timeout=60) as http:
        request_body = body(COMPLETION, types=["DEFAULT"], temperature=0, n_completion_tokens=100)
        single, deltas = await asyncio.gather(
            streamed(http, COMPLETION, request_body), streamed(http, COMPLETION, request_body | {"stream_deltas": True})
        )
    assert single[-1] == deltas[-1] and len(deltas) > 90
    assert decoder[0].n_batch_rows == 1  # the generation of the stopped client continues
    stopped.close()
    await until(lambda: not decoder[0].n_batch_rows)
    assert decoder[0].generations == []


async def test_a_client_that_resumes_reading_misses_nothing(wild: str, decoder: list[Decoder]) -> None:
    request_body = body(
        COMPLETION, types=["DEFAULT"], temperature=0, n_logprobs=10, stream=True, n_completion_tokens=150
    )
    for deltas in (True, False):
        decoder.clear()
        stopped = post_without_reading(wild + COMPLETION, request_body | {"stream_deltas": deltas})
        await until(lambda: bool(decoder) and not decoder[0].n_batch_rows)
        # into a window of 2 kB the kernel may send by its 200 ms timer only, depending on the length of the headers
        stopped.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
        with stopped.makefile("rb") as file:
            content = await asyncio.to_thread(file.read)
        stopped.close()
        received = events(body_of(content))
        assert len(received[-1][1]["outputs"][0]["token_ids"]) == 150
        if deltas:
            assert joined([item for name, item in received if name == "delta"]) == expected_outputs(received[-1][1])
        else:
            assert len(received) < 140  # the others were replaced before they could be sent
