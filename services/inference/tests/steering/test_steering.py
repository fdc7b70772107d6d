"""Steered text over HTTP, by our client: greedy text as plain transformers write it with an independent hook."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from memicos_inference_client import Client
from memicos_inference_client.api.steer import steer_completion, steer_completion_chat
from memicos_inference_client.models import ChatRequest, ChatResponse, CompletionRequest, CompletionResponse
from memicos_testing.json_bodies.event_stream import events
from memicos_testing.models import plain_model
from memicos_testing.models.plain_model import greedy
from memicos_testing.models.small_model import NAME
from memicos_testing.servers import Serve
from sae_lens import SAE
from safetensors.torch import load_file
from transformers import AutoTokenizer

Tokenize = Callable[[str], list[int]]

PROMPT = "Alice was beginning to get very"
N_TOKENS = 10
FEATURES = [
    {"model": NAME, "source": "1-small", "index": 5, "strength": 3.0},
    {"model": NAME, "source": "3-small", "index": 60, "strength": -2.0},
    {"model": NAME, "source": "3-small", "index": 7, "strength": 2.5},
]


@pytest.fixture(scope="module")
def direction(sources_folder: Path) -> Callable[[str, int], torch.Tensor]:
    return lambda source, index: load_file(sources_folder / source / "sae_weights.safetensors")["W_dec"][index]


def body(**values: Any) -> dict[str, Any]:
    return {
        "model": NAME,
        "prompt": PROMPT,
        "types": ["STEERED", "DEFAULT"],
        "features": FEATURES,
        "n_completion_tokens": N_TOKENS,
        "temperature": 0,
        "steer_method": "SIMPLE_ADDITIVE",
    } | values


async def completed(client: Client, **values: Any) -> CompletionResponse:
    response = await steer_completion.asyncio(client=client, body=CompletionRequest.from_dict(body(**values)))
    assert isinstance(response, CompletionResponse), response
    return response


def changes(
    direction: Callable[[str, int], torch.Tensor], method: str, factor: float = 1
) -> dict[int, plain_model.Change]:
    kind = {
        "SIMPLE_ADDITIVE": plain_model.added,
        "ORTHOGONAL_DECOMP": plain_model.scaled,
        "PROJECTION_CAP": plain_model.capped,
    }[method]
    first, second, third = (
        kind(direction(source_feature["source"], source_feature["index"]), source_feature["strength"] * factor)
        for source_feature in FEATURES
    )
    return {1: first, 3: plain_model.in_turn(second, third)}


@pytest.mark.parametrize(
    ("method", "multiplier"), [("SIMPLE_ADDITIVE", 1.5), ("ORTHOGONAL_DECOMP", 1.5), ("PROJECTION_CAP", -3)]
)
async def test_both_types_equal_plain_transformers(
    client: Client, hf: Any, tokenize: Tokenize, direction: Any, method: str, multiplier: float
) -> None:
    response = await completed(client, steer_method=method, strength_multiplier=multiplier)
    steered, default = response.outputs
    assert (steered.type_, default.type_) == ("STEERED", "DEFAULT")
    ids = tokenize(PROMPT)
    assert default.token_ids == greedy(hf, ids, N_TOKENS)
    assert steered.token_ids == greedy(hf, ids, N_TOKENS, changes(direction, method, multiplier))
    assert steered.token_ids != default.token_ids


async def test_the_output_is_prompt_and_completion_without_bos(client: Client, model_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    for output in (await completed(client)).outputs:
        assert output.output == PROMPT + output.completion
        assert output.completion == tokenizer.decode(output.token_ids) or output.finished == "eos"
        assert len(output.token_ids) == N_TOKENS or output.finished == "eos"
        assert output.finished in ("length", "eos")


async def test_a_prompt_that_begins_with_bos_is_returned_whole(client: Client) -> None:
    """No second BOS is prepended: the tokens are those of the prompt without it, which the output repeats."""
    without_bos = await completed(client)
    with_bos = await completed(client, prompt="<bos>" + PROMPT)
    for plain, output in zip(without_bos.outputs, with_bos.outputs, strict=True):
        assert output.token_ids == plain.token_ids and output.output == "<bos>" + plain.output


@pytest.mark.parametrize("sampling", [{}, {"temperature": 0.9, "freq_penalty": 0.3}])
async def test_types_are_returned_alone_and_in_the_requested_order(client: Client, sampling: dict[str, Any]) -> None:
    """Each type samples from the seed independently of the other."""
    both_types = await completed(client, **sampling)
    turned = await completed(client, types=["DEFAULT", "STEERED"], **sampling)
    assert [output.type_ for output in turned.outputs] == ["DEFAULT", "STEERED"]
    assert turned.outputs[::-1] == both_types.outputs
    (default_only,) = (await completed(client, types=["DEFAULT"], features=[], **sampling)).outputs
    assert default_only == both_types.outputs[1]
    (steered,) = (await completed(client, types=["STEERED"], **sampling)).outputs
    assert steered == both_types.outputs[0]


async def test_vectors_are_used_unchanged_or_normalized(
    client: Client, hf: Any, tokenize: Tokenize, direction: Any
) -> None:
    vector = 4 * direction("2-small", 11)
    steering = {"steering_vector": vector.tolist(), "strength": 0.5, "hook": "blocks.2.hook_resid_post"}
    for normalize, strength in ((False, 2.0), (True, 0.5)):
        response = await completed(
            client, features=None, vectors=[steering], normalize_steering=normalize, types=["STEERED"]
        )
        expected = greedy(hf, tokenize(PROMPT), N_TOKENS, {2: plain_model.added(vector / vector.norm(), strength)})
        assert response.outputs[0].token_ids == expected
    # the same point of the stream under its other name
    before = steering | {"hook": "blocks.3.hook_resid_pre"}
    response = await completed(client, features=None, vectors=[before], types=["STEERED"])
    expected = (await completed(client, features=None, vectors=[steering], types=["STEERED"])).outputs
    assert response.outputs == expected
    by_module = steering | {"hook": "model.layers.2"}
    assert (await completed(client, features=None, vectors=[by_module], types=["STEERED"])).outputs == expected


WITHIN: dict[str, tuple[plain_model.HookSite, int]] = {
    "blocks.2.hook_attn_out": (("output", "model.layers.2.self_attn"), 128),
    "blocks.2.hook_mlp_out": (("output", "model.layers.2.mlp"), 128),
    "blocks.1.attn.hook_z": (("input", "model.layers.1.self_attn.o_proj"), 128),
    "blocks.1.mlp.hook_post": (("input", "model.layers.1.mlp.down_proj"), 341),
    # adding to the stream after attention equals adding to the output of attention
    "blocks.1.hook_resid_mid": (("output", "model.layers.1.self_attn"), 128),
}


async def test_vectors_within_blocks(client: Client, hf: Any, tokenize: Tokenize) -> None:
    ids = tokenize(PROMPT)
    texts_by_hook = {}
    for i, (hook, (position, width)) in enumerate(WITHIN.items()):
        vector = torch.randn(width, generator=torch.Generator().manual_seed(i))
        steering = {"steering_vector": vector.tolist(), "strength": 5, "hook": hook}
        response = await completed(client, features=None, vectors=[steering], types=["STEERED"])
        texts_by_hook[hook] = response.outputs[0].token_ids
        assert texts_by_hook[hook] == greedy(hf, ids, N_TOKENS, {position: plain_model.added(vector, 5)}), hook
        assert isinstance(position, tuple)
        side, module = position
        by_module = steering | {"hook": f"{module}.{side}"}
        response = await completed(client, features=None, vectors=[by_module], types=["STEERED"])
        assert response.outputs[0].token_ids == texts_by_hook[hook]
    default = greedy(hf, ids, N_TOKENS)
    assert sum(text != default for text in texts_by_hook.values()) >= 4


async def test_a_vector_and_its_negative_cancel(client: Client) -> None:
    vector = torch.randn(128, generator=torch.Generator().manual_seed(0)).tolist()
    for hook in ("blocks.2.hook_resid_post", "blocks.2.hook_resid_mid"):
        vectors_of_both_signs = [
            {"steering_vector": vector, "strength": strength, "hook": hook} for strength in (8, -8)
        ]
        steered, default = (await completed(client, features=None, vectors=vectors_of_both_signs, n_logprobs=1)).outputs
        assert steered.token_ids == default.token_ids and steered.completion == default.completion
        (output, _) = (await completed(client, features=None, vectors=vectors_of_both_signs[:1])).outputs
        assert output.token_ids != default.token_ids


async def test_features_are_steered_at_the_output_hook_of_their_source(
    serve: Serve, hf: Any, tokenize: Tokenize, tmp_path: Path
) -> None:
    """A transcoder steers its output, a source of attention heads all heads at once."""
    expected_texts = {
        "1-through": random_source(tmp_path / "1-through", "blocks.1.mlp.hook_in", "blocks.1.hook_mlp_out"),
        "2-heads": random_source(tmp_path / "2-heads", "blocks.2.attn.hook_z"),
    }
    url = await serve(sae_folder=tmp_path, sae_sets=("through", "heads"))
    async with Client(url) as client, httpx.AsyncClient(base_url=url) as http:
        hooks = {
            source["id"]: source["steer_hook"] for source in (await http.get("/v1/capabilities")).json()["sources"]
        }
        features = [{"model": NAME, "source": source, "index": 3, "strength": 20} for source in expected_texts]
        response = await completed(client, features=features, types=["STEERED"])
    assert hooks == {"1-through": "blocks.1.hook_mlp_out", "2-heads": "blocks.2.attn.hook_z"}
    places: dict[plain_model.HookSite, plain_model.Change] = {
        ("output", "model.layers.1.mlp"): plain_model.added(expected_texts["1-through"][3], 20),
        ("input", "model.layers.2.self_attn.o_proj"): plain_model.added(expected_texts["2-heads"][3], 20),
    }
    ids = tokenize(PROMPT)
    assert response.outputs[0].token_ids == greedy(hf, ids, N_TOKENS, places) != greedy(hf, ids, N_TOKENS)


def random_source(folder: Path, input_hook: str, writes: str | None = None) -> torch.Tensor:
    """Write one of 40 features in SAELens' format, a transcoder where it `writes` elsewhere; returns its directions."""
    config: dict[str, Any] = {
        "architecture": "transcoder" if writes else "standard",
        "d_in": 128,
        "d_sae": 40,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "metadata": {"hook_name": input_hook, "hook_name_out": writes, "prepend_bos": True, "context_size": 128},
    }
    sae = SAE.from_dict(config | ({"d_out": 128} if writes else {}))
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(5))
        sae.W_dec.div_(sae.W_dec.norm(dim=1, keepdim=True))
    sae.save_model(folder)
    return sae.W_dec.detach()


async def test_a_model_without_bos(
    serve: Serve, model_folder: Path, hf: Any, tokenize: Tokenize, direction: Any, tmp_path: Path
) -> None:
    """The text begins at position 0, which is steered."""
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    tokenizer.bos_token = None
    hf.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    url = await serve(custom_hf_model_id=str(tmp_path), sae_sets=("small",))
    ids = tokenize(PROMPT)[1:]
    async with Client(url) as client:
        steered, default = (await completed(client)).outputs
        spared = await chatted(client, steer_special_tokens=False)
        everywhere = await chatted(client)
    assert default.token_ids == greedy(hf, ids, N_TOKENS) and default.output.startswith(PROMPT)
    assert steered.token_ids == greedy(hf, ids, N_TOKENS, changes(direction, "SIMPLE_ADDITIVE"))
    assert everywhere.input_.token_ids == tokenize(RENDERED)[1:]
    assert spared.outputs[1] == everywhere.outputs[1]


async def test_logprobs_are_the_models(client: Client, hf: Any, tokenize: Tokenize) -> None:
    response = await completed(client, n_logprobs=3, types=["DEFAULT"], temperature=0.7)
    (output,) = response.outputs
    ids = tokenize(PROMPT)
    assert output.logprobs and len(output.logprobs) == len(output.token_ids)
    expected = plain_model.logits(hf, [*ids, *output.token_ids])[len(ids) - 1 : -1].log_softmax(-1)
    for position, (token, logprob) in enumerate(zip(output.token_ids, output.logprobs, strict=True)):
        assert logprob.logprob == pytest.approx(expected[position, token].item(), abs=1e-3)
        assert [top.logprob for top in logprob.top_logprobs] == pytest.approx(
            expected[position].topk(3).values.tolist(), abs=1e-3
        )
    assert not (await completed(client)).outputs[0].logprobs


async def test_a_seed_repeats_and_another_differs(client: Client) -> None:
    sampled = [
        (await completed(client, temperature=1.5, seed=seed, freq_penalty=0.5)).outputs[1].token_ids
        for seed in (7, 7, 8)
    ]
    assert sampled[0] == sampled[1] != sampled[2]


async def test_every_frame_of_a_stream_is_the_response_so_far(client: Client) -> None:
    """A reader slower than the model gets fewer frames, in order."""
    full_response = await completed(client)
    request = CompletionRequest.from_dict(body())
    frames = [frame async for frame in steer_completion.astream(client=client, body=request)]
    assert frames[-1] == full_response and len(frames) > 1
    numbers = [max(len(output.token_ids) for output in frame.outputs) for frame in frames]
    assert numbers == sorted(set(numbers)) and numbers[-1] == max(
        len(output.token_ids) for output in full_response.outputs
    )
    for number, frame in zip(numbers, frames, strict=True):
        for output, last in zip(frame.outputs, full_response.outputs, strict=True):
            assert output.token_ids == last.token_ids[:number]
            assert last.output.startswith(output.output) and output.output == PROMPT + output.completion
            assert (output.finished == last.finished) == (number >= len(last.token_ids))


async def test_streams_by_the_sync_client(url: str, client: Client) -> None:
    def read() -> list[CompletionResponse]:
        with Client(url) as sync_client:
            return list(steer_completion.stream(client=sync_client, body=CompletionRequest.from_dict(body())))

    assert (await asyncio.to_thread(read))[-1] == await completed(client)


async def test_frames_are_plain_server_sent_events(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        response = await http.post("/v1/steer/completion", json=body(stream=True))
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    assert {name for name, _ in events(response.text)} == {"message"}


CHAT = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Who is Alice?"}]
RENDERED = "<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\nWho is Alice?<|im_end|>\n<|im_start|>assistant\n"


async def chatted(client: Client, **values: Any) -> ChatResponse:
    response = await steer_completion_chat.asyncio(
        client=client, body=ChatRequest.from_dict(body(prompt=CHAT, types=["STEERED", "DEFAULT"]) | values)
    )
    assert isinstance(response, ChatResponse), response
    return response


async def test_a_chat_without_template_is_chatml(client: Client, hf: Any, tokenize: Tokenize, direction: Any) -> None:
    """glassllm has no template; the prompt then has no BOS, as ChatML adds none."""
    response = await chatted(client)
    ids = tokenize(RENDERED)[1:]
    assert response.input_.token_ids == ids
    assert [item.to_dict() for item in response.input_.chat_template] == [
        {"content": item["content"], "role": item["role"]} for item in CHAT
    ]
    steered, default = response.outputs
    assert default.token_ids == greedy(hf, ids, N_TOKENS)
    assert steered.token_ids == greedy(hf, ids, N_TOKENS, changes(direction, "SIMPLE_ADDITIVE"))
    for output in response.outputs:
        assert output.raw.startswith(response.input_.raw)
        assert [turn.role for turn in output.chat_template] == ["system", "user", "assistant"]
        assert output.chat_template[-1].content == output.completion


async def test_the_chat_template_is_used_and_special_tokens_can_stay_unsteered(
    serve: Serve, model_folder: Path, hf: Any, direction: Any, tmp_path: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    tokenizer.chat_template = (
        "{{ bos_token }}{% for turn in messages %}{% if turn.role == 'tool' %}{{ raise_exception('no tools here') }}"
        "{% endif %}{{ turn.content }}<eos>{% endfor %}"
    )
    hf.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    url = await serve(custom_hf_model_id=str(tmp_path), sae_sets=("small",))
    async with Client(url) as client:
        refused = await steer_completion_chat.asyncio_detailed(
            client=client, body=ChatRequest.from_dict(body(prompt=[{"role": "tool", "content": "x"}]))
        )
        assert refused.status_code == 400 and b"no tools here" in refused.content
        everywhere = await chatted(client, n_completion_tokens=1, n_logprobs=10)
        spared = await chatted(client, n_completion_tokens=1, n_logprobs=10, steer_special_tokens=False)
    text = "<bos>Be short.<eos>Who is Alice?<eos>"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert everywhere.input_.raw == text and everywhere.input_.token_ids == ids
    special = torch.tensor([[token in (2, 3) for token in ids]])[..., None]
    assert special.sum() == 3

    def logprobs(response: ChatResponse) -> list[float]:
        logprobs_of_output = response.outputs[0].logprobs
        assert logprobs_of_output
        return [top.logprob for top in logprobs_of_output[0].top_logprobs]

    steering = changes(direction, "SIMPLE_ADDITIVE")
    sparing = {
        layer: (lambda hidden, change=change: torch.where(special, hidden, change(hidden)))
        for layer, change in steering.items()
    }
    for response, applied_steering in ((everywhere, steering), (spared, sparing)):
        expected = plain_model.logits(hf, ids, applied_steering)[-1].log_softmax(-1).topk(10).values
        assert logprobs(response) == pytest.approx(expected.tolist(), abs=1e-3)
    assert logprobs(everywhere) != pytest.approx(logprobs(spared), abs=1e-2)


async def test_frames_of_a_chat(client: Client) -> None:
    full_response = await chatted(client)
    request = ChatRequest.from_dict(body(prompt=CHAT))
    frames = [frame async for frame in steer_completion_chat.astream(client=client, body=request)]
    assert frames[-1] == full_response and 1 < len(frames) <= max(
        len(output.token_ids) for output in full_response.outputs
    )
    assert all(frame.input_ == full_response.input_ for frame in frames)
