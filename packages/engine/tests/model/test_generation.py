"""Generated tokens against transformers' own `generate`, and the limits of a generation."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from memicos_engine.capture import activations
from memicos_engine.errors import InvalidRequestError
from memicos_engine.generation.decoder import generate, new_decoder
from memicos_engine.generation.generation import Generation, Row, Sampling, kv_cache_bytes
from memicos_engine.generation.kv_cache import _SPARE_COLUMNS
from memicos_engine.generation.sampling import Sampler
from memicos_engine.generation.steering import METHODS, SteeringVector
from memicos_engine.model.language_model import DTYPES, LanguageModel, load_model
from memicos_testing.models import plain_model
from memicos_testing.models.steered import logits_now
from transformer_lens.utilities.logits_utils import sample_logits
from transformers import AutoModelForCausalLM

ANY_BYTES = 10**10
GREEDY = Sampling()
BEGINNINGS = (
    "The capital of France is",
    "Once upon a time, in a small village by the sea,",
    "def fibonacci(n):\n    ",
    "The President of the United States said on Monday that",
    "In 1912 the Titanic",
    "My favourite food is",
    "Water boils at",
    "She opened the letter and",
    "The three laws of thermodynamics are",
    "import numpy as np\n\nx = np.",
    "According to the latest report, unemployment",
    "Dear Sir or Madam,\n\n",
    "The whale rose out of the water,",
    "To make bread you need",
    "Photosynthesis is the process by which",
    "2 + 2 = 4, 3 + 3 = 6, 4 + 4 =",
    "Shakespeare wrote",
    "The difference between a virus and a bacterium is",
    "He had never been so tired in",
    "Roses are red, violets are",
)


def finished(
    model: LanguageModel, rows: Sequence[Row], n: int = 8, sampling: Sampling = GREEDY, kv_bytes: int = ANY_BYTES
) -> Generation:
    writing = Generation(model, rows, n, sampling, kv_bytes)
    generate(model, writing)
    return writing


def continued(hf: Any, prompts: Sequence[Sequence[int]], n: int) -> list[tuple[list[int], list[torch.Tensor]]]:
    """Tokens of transformers' greedy `generate` and their logits (V,), in one batch."""
    longest = max(len(ids) for ids in prompts)
    tokens = torch.tensor([[0] * (longest - len(ids)) + list(ids) for ids in prompts])
    mask = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts])
    generated = hf.generate(
        tokens,
        attention_mask=mask,
        max_new_tokens=n,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
    )
    eos = hf.generation_config.eos_token_id
    rows = []
    for row, row_ids in enumerate(generated.sequences[:, longest:].tolist()):
        end = row_ids.index(eos) + 1 if eos in row_ids else len(row_ids)
        rows.append((row_ids[:end], [logits[row] for logits in generated.logits[:end]]))
    return rows


def check_greedy(actual: list[int], expected_ids: list[int], logits: list[torch.Tensor]) -> None:
    """The tokens are equal, or at the first difference two logits are within 1e-3."""
    for actual_id, expected, row_logits in zip(actual, expected_ids, logits, strict=False):
        if actual_id != expected:
            first, second = row_logits.topk(2).values
            assert first - second < 1e-3
            return
    assert len(actual) == len(expected_ids)


def test_default_is_what_transformers_generates(demo: LanguageModel, demo_plain: Any, demo_sources: Any) -> None:
    """20 prompts x 32 tokens, each a STEERED and a DEFAULT row, all 40 in one batch."""
    source = demo_sources[1][1]
    steer = SteeringVector(source.hook_name, source.decoder_row(3), 170)
    prompts = [demo.token_ids(text, prepend_bos=True) for text in BEGINNINGS]
    rows = [row for ids in prompts for row in (Row(ids, [steer]), Row(ids))]
    writing = finished(demo, rows, 32)
    differing = 0
    for i, (expected, logits) in enumerate(continued(demo_plain, prompts, 32)):
        check_greedy(writing.ids[2 * i + 1], expected, logits)
        differing += writing.ids[2 * i] != expected
    assert differing >= 15


def test_default_beside_steered_on_the_small_model(small: LanguageModel, small_plain: Any) -> None:
    """A batch of two for each prompt; some end with EOS."""
    steer = SteeringVector("blocks.2.hook_resid_post", torch.randn(128, generator=torch.Generator().manual_seed(0)), 30)
    for text in (*BEGINNINGS, "Alice", "The Queen"):
        ids = small.token_ids(text, prepend_bos=True)
        n = min(64, small.max_context - len(ids))
        writing = finished(small, [Row(ids, [steer]), Row(ids)], n)
        ((expected, logits),) = continued(small_plain, [ids], n)
        check_greedy(writing.ids[1], expected, logits)
        assert (writing.finish_reasons[1] == "eos") == (expected[-1] == 3)


def test_rows_of_different_length_are_what_each_is_alone(small: LanguageModel) -> None:
    prompts = [small.token_ids(text, prepend_bos=True) for text in ("Alice", BEGINNINGS[1], "The Queen turned")]
    batched = finished(small, [Row(ids) for ids in prompts], 30)
    assert batched.ids == [finished(small, [Row(ids)], 30).ids[0] for ids in prompts]
    drawn = Sampling(temperature=0.9, seed=5)
    batched = finished(small, [Row(ids) for ids in prompts], 30, drawn)
    assert batched.ids == [finished(small, [Row(ids)], 30, drawn).ids[0] for ids in prompts]


def test_interleaved_generations_do_not_affect_each_other(small: LanguageModel, make_sae: Any) -> None:
    _, source = make_sae(1)
    ids = small.token_ids("The Queen turned", prepend_bos=True)
    steers = [[SteeringVector("blocks.1.hook_resid_post", source.decoder_row(i), 25)] for i in (1, 2)]
    expected = [finished(small, [Row(ids, steer)], 10).ids for steer in steers]
    result = activations.feature_activations(small, source, [ids], 7, True)[0]
    writing = [Generation(small, [Row(ids, steer)], 10, GREEDY, ANY_BYTES) for steer in steers]
    decoders = [new_decoder(small, generation) for generation in writing]
    while not writing[0].done:
        for decoder in decoders:
            decoder.advance()
        assert activations.feature_activations(small, source, [ids], 7, True)[0] == result
    assert [generation.ids for generation in writing] == expected and expected[0] != expected[1]


def test_the_same_seed_generates_the_same_tokens(small: LanguageModel) -> None:
    ids = small.token_ids("Alice", prepend_bos=True)
    texts = [
        finished(small, [Row(ids), Row(ids)], 20, Sampling(temperature=1.0, seed=seed)).ids for seed in (1, 1, 2, -3)
    ]
    assert texts[0] == texts[1] and texts[0][0] == texts[0][1]
    assert len({tuple(text[0]) for text in texts}) == 3


def test_tokens_are_sampled_by_their_probability() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, -1.0, 0.5])
    for temperature in (0.5, 1.0, 3.0):
        sampler = Sampler(Sampling(temperature=temperature, seed=0), [])
        drawn = torch.bincount(torch.tensor([sampler.choose(logits) for _ in range(5000)]), minlength=5) / 5000
        assert (drawn - (logits / temperature).softmax(-1)).abs().max() < 0.025
    assert Sampler(Sampling(temperature=5e-324), []).choose(logits) == 2
    assert Sampler(Sampling(temperature=1e308), []).choose(logits) in range(5)


def test_frequency_penalty() -> None:
    """A temperature near 0 shows the scores that tokens are sampled from."""
    logits = torch.tensor([5.0, 4.0, 2.4, 0.0])
    cold = 1e-6

    def generated_ids(penalty: float, temperature: float, prompt: list[int]) -> list[int]:
        """The penalty in units of logits."""
        sampler = Sampler(Sampling(temperature=temperature, freq_penalty=penalty / (temperature or 1)), prompt)
        return [sampler.choose(logits) for _ in range(5)]

    assert generated_ids(0, cold, [0, 0, 0]) == [0] * 5
    assert generated_ids(0.7, cold, []) == [0, 0, 1, 0, 1]  # 5, 4.3, (3.6) 4, 3.6, (2.9) 3.3
    assert generated_ids(1.5, cold, [0, 0, 1]) == [1, 2, 0, 1, 2]  # the tokens of the prompt count
    assert generated_ids(1.5, 0, [0, 0, 1]) == [0] * 5  # no penalty at temperature 0
    assert generated_ids(-1.5, cold, [1, 1, 1]) == [0] * 5  # no penalty below 0


def test_the_penalty_is_subtracted_after_the_temperature() -> None:
    """Compared with TransformerLens' `sample_logits`, which samples from the same distribution."""
    logits = torch.tensor([3.0, 2.5, 2.0, 1.0])
    prompt = [0, 0, 1, 3]
    n = 3000
    drawn = [Sampler(Sampling(temperature=2.0, freq_penalty=0.6, seed=i), prompt).choose(logits) for i in range(n)]
    torch.manual_seed(0)
    sampled = sample_logits(logits.repeat(n, 1), temperature=2.0, freq_penalty=0.6, tokens=torch.tensor([prompt] * n))
    expected = (logits / 2 - 0.6 * torch.tensor([2.0, 1, 0, 1])).softmax(-1)
    for sample in (torch.tensor(drawn), sampled):
        assert (torch.bincount(sample, minlength=4) / n - expected).abs().max() < 0.03


def test_logprobs(small: LanguageModel, small_plain: Any) -> None:
    ids = small.token_ids("The Queen turned", prepend_bos=True)
    steer = SteeringVector("blocks.2.hook_resid_post", torch.ones(128), 3)
    sampling = Sampling(temperature=1.5, freq_penalty=0.5, seed=3, n_logprobs=4)
    writing = finished(small, [Row(ids, [steer]), Row(ids)], 12, sampling)
    for row, changes in enumerate(({2: plain_model.added(torch.ones(128), 3)}, {})):
        tokens = writing.ids[row]
        logits = plain_model.logits(small_plain, [*ids, *tokens[:-1]], changes)[len(ids) - 1 :]
        expected = logits.log_softmax(-1)
        assert [item.token for item in writing.logprobs[row]] == tokens
        for item, expected_row in zip(writing.logprobs[row], expected, strict=True):
            assert item.logprob == pytest.approx(expected_row[item.token].item(), abs=1e-3)
            assert [p for _, p in item.top] == pytest.approx(expected_row.topk(4).values.tolist(), abs=1e-3)
            assert [expected_row[t].item() for t, _ in item.top] == pytest.approx([p for _, p in item.top], abs=1e-3)
    assert finished(small, [Row(ids)], 3).logprobs == [[]]


def test_any_of_several_eos_ends_its_row(small: LanguageModel, small_folder: Path, tmp_path: Path) -> None:
    ids, other_ids = (small.token_ids(text, prepend_bos=True) for text in ("The Queen turned", "Alice was"))
    free = finished(small, [Row(ids), Row(other_ids)], 10).ids
    stop = next(token for token in free[0] if token not in free[1])
    at = free[0].index(stop)
    shutil.copytree(small_folder, tmp_path / "model")
    (tmp_path / "model" / "generation_config.json").write_text(f'{{"eos_token_id": [3, {stop}]}}')
    model = load_model("small", str(tmp_path / "model"))
    assert model.eos_token_ids == {3, stop}
    writing = Generation(model, [Row(ids), Row(other_ids)], 10, Sampling(n_logprobs=1), ANY_BYTES)
    steps = 0
    decoder = new_decoder(model, writing)
    while not writing.done:
        decoder.advance()
        steps += 1
        assert decoder.n_batch_rows == writing.finish_reasons.count(None)
        assert (writing.finish_reasons[0] == "eos") == (steps > at)
    assert (steps, writing.finish_reasons) == (10, ["eos", "length"])
    assert writing.ids == [free[0][: at + 1], free[1]]
    assert [len(row) for row in writing.logprobs] == [at + 1, 10]


def test_a_request_over_a_limit_is_refused_with_both_numbers(small: LanguageModel) -> None:
    ids = small.token_ids("The Queen turned", prepend_bos=True)
    room = small.max_context - len(ids)
    assert len(finished(small, [Row(ids)], room).ids[0]) <= room
    with pytest.raises(
        InvalidRequestError, match=rf"\({len(ids)} tokens\).*\({room + 1}\).* 129 tokens.*context is 128"
    ):
        Generation(small, [Row(ids)], room + 1, GREEDY, ANY_BYTES)
    # 4 layers of keys and values, 2 heads of 32 float32 numbers
    needed = 2 * (len(ids) + 10) * 4 * 2 * 2 * 32 * 4
    assert kv_cache_bytes(small, 2, len(ids) + 10) == needed
    finished(small, [Row(ids), Row(ids)], 10, kv_bytes=needed)
    with pytest.raises(InvalidRequestError, match=f"need {needed:,} bytes; {needed - 1:,} are"):
        Generation(small, [Row(ids), Row(ids)], 10, GREEDY, needed - 1)


def test_keys_and_values_take_the_computed_memory(small: LanguageModel) -> None:
    ids = small.token_ids("Alice was", prepend_bos=True)
    decoder = new_decoder(small, Generation(small, [Row(ids), Row(ids)], 5, GREEDY, ANY_BYTES))
    decoder.advance()
    decoder.advance()
    layers: Any = decoder._cache.cache.layers
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in layers)
    assert held == kv_cache_bytes(small, 2, len(ids) + _SPARE_COLUMNS)
    while decoder.generations:
        decoder.advance()
    assert sum(layer.keys.nbytes + layer.values.nbytes for layer in layers) == 0


def hooked(model: LanguageModel) -> list[str]:
    return [name for name, module in model.hf.named_modules() if module._forward_hooks or module._forward_pre_hooks]


def test_hooks_are_removed_after_every_step_and_every_error(
    small: LanguageModel, make_sae: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, source = make_sae(1)
    ids = small.token_ids("Alice was", prepend_bos=True)
    steers = [SteeringVector(f"blocks.{i}.hook_resid_pre", torch.ones(128), 3) for i in range(3)]
    writing = Generation(small, [Row(ids, steers)], 5, GREEDY, ANY_BYTES)
    decoder = new_decoder(small, writing)
    assert hooked(small) == []
    decoder.advance()
    activations.feature_activations(small, source, [ids], 0, True)[0]
    assert hooked(small) == []

    def broken(*_: Any, **__: Any) -> None:
        assert hooked(small)
        raise RuntimeError("the device is gone")

    monkeypatch.setattr(small.blocks[1], "forward", broken)
    with pytest.raises(RuntimeError, match="device is gone"):
        decoder.advance()
    assert hooked(small) == []
    with pytest.raises(RuntimeError, match="device is gone"):
        activations.feature_activations(small, source, [ids], 0, True)[0]
    assert hooked(small) == []


def test_logits_that_are_not_finite_are_refused(small_folder: Path) -> None:
    narrow = load_model("small", str(small_folder), dtype="float16")
    ids = narrow.token_ids("Alice was", prepend_bos=True)
    writing = Generation(
        narrow, [Row(ids, [SteeringVector("blocks.1.hook_resid_post", [1.0] * 128, 1e6)])], 5, GREEDY, ANY_BYTES
    )
    with pytest.raises(InvalidRequestError, match="not finite"):
        generate(narrow, writing)
    assert hooked(narrow) == []


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_dtypes(small_folder: Path, small: LanguageModel, dtype: str) -> None:
    narrow = load_model("small", str(small_folder), dtype=dtype)
    ids = narrow.token_ids("The Queen turned", prepend_bos=True)
    vector = torch.randn(128, generator=torch.Generator().manual_seed(4))
    rows = [
        Row(
            ids,
            [
                SteeringVector("blocks.1.hook_resid_post", vector, 10),
                SteeringVector("blocks.2.hook_resid_post", vector, 3, method),
            ],
        )
        for method in METHODS
    ]
    exact = Generation(small, rows, 1, GREEDY, ANY_BYTES)
    writing = Generation(narrow, rows, 1, Sampling(n_logprobs=2), ANY_BYTES)
    generate(small, exact)
    generate(narrow, writing)
    assert (logits_now(exact) - logits_now(writing)).abs().max() < 0.5


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_dtypes_generate_the_tokens_of_transformers(small_folder: Path, dtype: str) -> None:
    """Greedy, unsteered and steered by an independent hook, until two tokens are nearly equally likely."""
    narrow = load_model("small", str(small_folder), dtype=dtype)
    hf: Any = AutoModelForCausalLM.from_pretrained(small_folder, dtype=DTYPES[dtype]).eval()
    step = torch.randn(128, generator=torch.Generator().manual_seed(6))
    block, mlp = hf.model.layers[1], hf.model.layers[2].mlp.down_proj
    neurons = torch.randn(341, generator=torch.Generator().manual_seed(7))
    steers = [SteeringVector("blocks.1.hook_resid_post", step, 4), SteeringVector("blocks.2.mlp.hook_post", neurons, 3)]
    compared = 0
    for text in BEGINNINGS[:3]:
        ids = narrow.token_ids(text, prepend_bos=True)
        for steering in ([], steers):
            handles = []
            if steering:
                added = (4 * step).to(hf.dtype), (3 * neurons).to(hf.dtype)
                handles.append(block.register_forward_hook(lambda _m, _a, out, add=added[0]: out + add))
                handles.append(mlp.register_forward_pre_hook(lambda _m, args, add=added[1]: args[0] + add))
            try:
                ((expected, logits),) = continued(hf, [ids], 24)
            finally:
                for handle in handles:
                    handle.remove()
            actual = finished(narrow, [Row(ids, steering)], 24).ids[0]
            first_difference = next(
                (i for i, pair in enumerate(zip(actual, expected, strict=False)) if pair[0] != pair[1]), None
            )
            if first_difference is not None:
                first, second = logits[first_difference].float().topk(2).values
                assert first - second <= 4 * torch.finfo(hf.dtype).eps * first.abs()
            compared += len(expected) if first_difference is None else first_difference
    assert compared > 100
