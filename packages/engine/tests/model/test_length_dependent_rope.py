"""Models with longrope on both sides of their boundary, against whole uncached runs of plain transformers."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from memicos_engine.capture.capture import CaptureRequest, capture, capture_in_slices
from memicos_engine.generation.decoder import Decoder, generate
from memicos_engine.generation.generation import Generation, Row, Sampling
from memicos_engine.generation.steering import SteeringVector
from memicos_engine.model.language_model import LanguageModel
from memicos_testing.models import plain_model
from memicos_testing.models.tiny_models import LONGROPE_LIMIT

Tiny = Callable[[str], tuple[LanguageModel, Any]]
ARCHITECTURES = ("phi3-longrope", "llama-longrope", "phimoe-longrope")
HOOK = "blocks.1.hook_resid_post"
LENGTHS = (LONGROPE_LIMIT + 16, LONGROPE_LIMIT, 5, LONGROPE_LIMIT + 1, LONGROPE_LIMIT - 1)
ANY_BYTES = 10**10


def random_prompt(length: int) -> list[int]:
    draw = random.Random(length)
    return [2, *(draw.randrange(5, 1000) for _ in range(length - 1))]


@pytest.fixture
def prompts() -> list[list[int]]:
    return [random_prompt(length) for length in LENGTHS]


def expected_residual(hf: Any, ids: Sequence[int]) -> torch.Tensor:
    with torch.inference_mode():
        return hf(torch.tensor([list(ids)]), output_hidden_states=True, use_cache=False).hidden_states[2][0]


def assert_close(hidden: torch.Tensor, expected: torch.Tensor) -> None:
    error = (hidden - expected).abs().amax(-1) / expected.abs().amax(-1)
    assert error.max() <= 1e-5


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_frequencies_of_short_and_long_texts_differ(tiny: Tiny, architecture: str) -> None:
    """The first positions of a long text differ from those of a short one, so that the other tests can fail."""
    model, hf = tiny(architecture)
    assert model.length_limits == (LONGROPE_LIMIT,)
    ids = random_prompt(LONGROPE_LIMIT + 1)
    long, short = expected_residual(hf, ids)[:-1], expected_residual(hf, ids[:-1])
    assert ((long - short).abs().amax(-1) / short.abs().amax(-1))[1:].max() > 0.01


@pytest.mark.parametrize("max_tokens", [7, LONGROPE_LIMIT, 1000])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_captures_of_short_and_long_prompts(
    tiny: Tiny, prompts: list[list[int]], architecture: str, max_tokens: int
) -> None:
    """Alone, in one padded batch and in slices."""
    model, hf = tiny(architecture)
    for ids in prompts:
        assert_close(capture(model, torch.tensor([ids]), None, [HOOK])[HOOK][0], expected_residual(hf, ids))
    *_, results = capture_in_slices(model, [CaptureRequest(prompts, [HOOK])], lambda: max_tokens)
    assert results is not None
    for ids, captured in zip(prompts, results[0], strict=True):
        assert_close(captured[HOOK], expected_residual(hf, ids))


def test_captures_by_the_bridge(tiny: Tiny, prompts: list[list[int]]) -> None:
    model, _ = tiny("phi3-longrope")
    hook = "blocks.2.hook_resid_mid"
    longest = max(map(len, prompts))
    ids = torch.tensor([[*prompt, *[0] * (longest - len(prompt))] for prompt in prompts])
    mask = torch.tensor([[1] * len(prompt) + [0] * (longest - len(prompt)) for prompt in prompts])
    batch = capture(model, ids, mask, [hook])[hook]
    for row, prompt in enumerate(prompts):
        expected = capture(model, torch.tensor([prompt]), None, [hook])[hook][0]
        assert_close(batch[row, : len(prompt)], expected)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_generations_that_cross_the_boundary(tiny: Tiny, architecture: str) -> None:
    """Rows cross at different steps, beside rows that start beyond the boundary and a steered row."""
    model, hf = tiny(architecture)
    vector = torch.randn(model.d_model, generator=torch.Generator().manual_seed(3))
    steered_at = [position % 3 == 0 for position in range(LONGROPE_LIMIT - 4)]
    rows = [
        Row(random_prompt(LONGROPE_LIMIT - 6)),
        Row(random_prompt(LONGROPE_LIMIT + 3)),
        Row(random_prompt(LONGROPE_LIMIT - 4), [SteeringVector(HOOK, vector, 2.0)], steered_at),
        Row(random_prompt(LONGROPE_LIMIT)),
    ]
    generation = Generation(model, rows, 14, Sampling(), ANY_BYTES)
    generation.eos = frozenset()
    decoder = Decoder(model, max_rows=8, kv_bytes=ANY_BYTES)
    decoder.join(generation)
    while decoder.generations:
        if decoder.has_prefill:
            decoder.prefill(11)
        else:
            decoder.step()
        for row, (ids, logits) in enumerate(zip(generation.ids, generation.logits, strict=True)):
            if logits is not None:
                expected = _last_logits(hf, rows[row], ids[:-1], 2.0 * vector)
                assert (logits - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert all(len(ids) == 14 for ids in generation.ids)


@pytest.mark.parametrize(
    ("hook", "site"),
    [
        ("blocks.1.hook_resid_pre", ("input", "model.layers.1")),
        ("blocks.1.hook_attn_out", ("output", "model.layers.1.self_attn")),
        ("blocks.1.hook_mlp_out", ("output", "model.layers.1.mlp")),
    ],
)
@pytest.mark.parametrize("architecture", ["phi3-longrope"])
def test_generations_steered_at_other_hooks_cross_the_boundary(
    tiny: Tiny, architecture: str, hook: str, site: tuple[str, str]
) -> None:
    model, hf = tiny(architecture)
    vector = torch.randn(model.d_model, generator=torch.Generator().manual_seed(4))
    ids = random_prompt(LONGROPE_LIMIT - 4)
    generation = Generation(model, [Row(ids, [SteeringVector(hook, vector, 2.0)])], 9, Sampling(), ANY_BYTES)
    generation.eos = frozenset()
    decoder = Decoder(model, max_rows=2, kv_bytes=ANY_BYTES)
    decoder.join(generation)
    while decoder.generations:
        decoder.advance()
        (logits,), (generated,) = generation.logits, generation.ids
        assert logits is not None
        expected = plain_model.logits(hf, [*ids, *generated[:-1]], {site: plain_model.added(vector, 2.0)})[-1]
        assert (logits - expected).abs().max() <= 1e-4 * expected.abs().max()
        assert expected.ne(plain_model.logits(hf, [*ids, *generated[:-1]])[-1]).any()
    assert len(generation.ids[0]) == 9


def _last_logits(hf: Any, row: Row, generated: Sequence[int], step: torch.Tensor) -> torch.Tensor:
    """Logits (V,) after the prompt and the tokens generated so far, by one uncached run."""
    ids = [*row.ids, *generated]
    if not row.steers:
        return plain_model.logits(hf, ids)[-1]
    steered_positions = torch.tensor([*(row.mask or []), *[True] * len(generated)])[:, None]
    return plain_model.logits(hf, ids, {1: lambda hidden: hidden + steered_positions * step})[-1]


def test_tokens_are_those_of_transformers_generate(tiny: Tiny) -> None:
    """Phi-3's `generate` recomputes its keys when a text crosses the boundary."""
    model, hf = tiny("phi3-longrope")
    ids = random_prompt(LONGROPE_LIMIT - 5)
    generation = Generation(model, [Row(ids)], 20, Sampling(), ANY_BYTES)
    generation.eos = frozenset()
    generate(model, generation)
    expected = hf.generate(torch.tensor([ids]), max_new_tokens=20, do_sample=False, eos_token_id=None)[0]
    assert generation.ids[0] == expected[len(ids) :].tolist()


def test_generations_that_run_one_at_a_time_cross_the_boundary(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    model, hf = tiny("llama-longrope")
    monkeypatch.setattr("memicos_engine.generation.decoder.supports_row_batching", lambda config: False)
    rows = [Row(random_prompt(LONGROPE_LIMIT - length)) for length in (3, 6)]
    generation = Generation(model, rows, 10, Sampling(), ANY_BYTES)
    generation.eos = frozenset()
    generate(model, generation)
    for row, ids in zip(rows, generation.ids, strict=True):
        assert ids == plain_model.greedy(hf, row.ids, 10)
