"""Generations that join, leave and end at different times give the tokens of single runs and of transformers."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from memicos_engine.errors import InvalidRequestError
from memicos_engine.generation import decoder as decoders
from memicos_engine.generation.decoder import Decoder, generate
from memicos_engine.generation.generation import Generation, Row, Sampling, kv_cache_bytes
from memicos_engine.generation.kv_cache import _RightAlignedLayer
from memicos_engine.generation.steering import SteeringVector
from memicos_engine.model.language_model import LanguageModel
from memicos_testing.models import plain_model

Tiny = Callable[[str], tuple[LanguageModel, Any]]
ANY_BYTES = 10**10
TEXTS = ("Alice was beginning to get very tired of sitting", "Bob", "The Queen turned angrily away", "It was")
ARCHITECTURES = ("llama", "gpt2", "gpt_neox", "gemma2", "gemma2-near", "qwen2", "opt")


def steer(model: LanguageModel, number: int) -> SteeringVector:
    vector = torch.randn(model.d_model, generator=torch.Generator().manual_seed(number))
    return SteeringVector("blocks.1.hook_resid_post", vector, 0.5)


def new_generation(
    model: LanguageModel, number: int, n_tokens: int = 12, sampling: Sampling | None = None
) -> Generation:
    """A steered row and a plain one, whose prompts differ in length."""
    ids = model.token_ids(TEXTS[number % len(TEXTS)], prepend_bos=True)
    shorter = ids[: max(1, len(ids) - number % 3)]
    mask = [position % 2 == 0 for position in range(len(ids))]
    rows = [Row(ids, [steer(model, number)], mask), Row(shorter)]
    drawn = Sampling(temperature=1.0, freq_penalty=0.5, seed=number, n_logprobs=1)
    return Generation(model, rows, n_tokens, sampling or drawn, ANY_BYTES)


def equal_generations(left: Generation, right: Generation) -> bool:
    assert left.ids == right.ids and left.finish_reasons == right.finish_reasons
    for left_logits, right_logits in zip(left.logits, right.logits, strict=True):
        assert left_logits is not None and right_logits is not None
        assert (left_logits - right_logits).abs().max() < 1e-3
    return True


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_rows_that_join_and_leave_generate_what_they_generate_alone(tiny: Tiny, architecture: str) -> None:
    """Nine generations of two rows join at random; prompts run in slices of a few tokens, buffers grow and shrink."""
    model, _ = tiny(architecture)
    draw = random.Random(1)
    queue = [new_generation(model, number, n_tokens=draw.randint(2, 30)) for number in range(9)]
    all_of_them, largest_batch = list(queue), 0
    decoder = Decoder(model, max_rows=8, kv_bytes=ANY_BYTES)
    while queue or decoder.generations:
        if queue and decoder.fits(queue[0]) and draw.random() < 0.4:
            decoder.join(queue.pop(0))
        if decoder.has_prefill:
            decoder.prefill(draw.choice((1, 3, 7)))
        if decoder.n_batch_rows:
            largest_batch = max(largest_batch, decoder.n_batch_rows)
            decoder.step()
    assert largest_batch > 4
    for number, generation in enumerate(all_of_them):
        expected = new_generation(model, number, n_tokens=generation.n_tokens)
        generate(model, expected)
        assert equal_generations(generation, expected)


@pytest.mark.parametrize("architecture", ["llama", "gemma2-near"])
def test_logits_of_a_late_row_are_those_of_plain_transformers(tiny: Tiny, architecture: str) -> None:
    """A row that joins a longer running one and continues after its end."""
    model, hf = tiny(architecture)
    decoder = Decoder(model, max_rows=4, kv_bytes=ANY_BYTES)
    decoder.join(new_generation(model, 0, n_tokens=10))
    for _ in range(6):
        decoder.advance()
    late = Generation(model, [Row(model.token_ids("Bob", True))], 25, Sampling(), ANY_BYTES)
    late.eos = frozenset()
    decoder.join(late)
    logits_of_step = []
    while not late.done:
        before = len(late.ids[0])
        decoder.advance()
        if len(late.ids[0]) > before:
            assert late.logits[0] is not None
            logits_of_step.append(late.logits[0])
    expected = plain_model.logits(hf, [*late.rows[0].ids, *late.ids[0][:-1]])[len(late.rows[0].ids) - 1 :]
    assert (torch.stack(logits_of_step) - expected).abs().max() < 1e-3


def test_cancelled_rows_are_removed_at_once_and_other_rows_are_unchanged(tiny: Tiny) -> None:
    model, _ = tiny("llama")
    decoder = Decoder(model, max_rows=8, kv_bytes=ANY_BYTES)
    stays, live, prompted, queued = (new_generation(model, number) for number in range(4))
    decoder.join(live)  # started first, so that the other generations take over its rows
    decoder.join(stays)
    decoder.advance()
    decoder.step()
    decoder.join(prompted)
    decoder.prefill(2)
    decoder.join(queued)
    assert decoder.n_batch_rows == 4 and len(decoder.generations) == 4
    for cancelled in (live, prompted, queued):
        decoder.leave(cancelled)
        assert cancelled.done and cancelled not in decoder.generations
    assert decoder.n_batch_rows == 2 and not decoder.has_prefill
    while decoder.generations:
        decoder.advance()
    expected = new_generation(model, 0)
    generate(model, expected)
    assert equal_generations(stays, expected)
    assert all(len(cancelled.ids[0]) < 12 for cancelled in (live, prompted, queued))


@pytest.mark.parametrize("failing_step", ["prompts", "buffers"])
def test_running_out_of_memory_fails_one_generation_only(
    tiny: Tiny, failing_step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed join leaves the batch unchanged, even if some layers have been moved already."""
    model, _ = tiny("llama")
    decoder = Decoder(model, max_rows=8, kv_bytes=ANY_BYTES)
    stays, fails = (new_generation(model, number, n_tokens=20) for number in range(2))
    decoder.join(stays)
    decoder.advance()
    decoder.step()
    resize, calls = _RightAlignedLayer.resize, 0

    def full(self: _RightAlignedLayer, rows: int, columns: int, start: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise torch.OutOfMemoryError("no more")
        resize(self, rows, columns + 3, start + 3)

    def none_left(*_: Any) -> Any:
        raise torch.OutOfMemoryError("no more")

    decoder.join(fails)
    with monkeypatch.context() as patch:
        if failing_step == "buffers":
            patch.setattr(_RightAlignedLayer, "resize", full)
        else:
            patch.setattr(decoders, "_pad_left", none_left)
        with pytest.raises(torch.OutOfMemoryError):
            decoder.prefill(1000)
    assert decoder.prefill_generations == [fails] and decoder.batch_generations == [stays]
    decoder.leave(fails)
    while decoder.generations:
        decoder.advance()
    expected = new_generation(model, 0, n_tokens=20)
    generate(model, expected)
    assert equal_generations(stays, expected)


def test_buffers_are_no_larger_than_rows_need(small: LanguageModel) -> None:
    decoder = Decoder(small, max_rows=40, kv_bytes=ANY_BYTES)
    generations = [
        new_generation(small, number, n_tokens=2 if number else 80, sampling=Sampling()) for number in range(10)
    ]
    for generation in generations:
        generation.eos = frozenset()
        decoder.join(generation)
    decoder.advance()
    full = decoder.cache_nbytes
    while len(decoder.batch_generations) > 1:
        decoder.step()
    for _ in range(70):  # more columns than there were
        decoder.step()
    assert decoder.cache_nbytes < full / 2


def test_rows_with_logits_that_are_not_finite_are_removed(tiny: Tiny) -> None:
    """A row whose keys are NaN ends with its reason beside others; the next row at its index does not read them."""
    model, _ = tiny("llama")
    decoder = Decoder(model, max_rows=8, kv_bytes=ANY_BYTES)
    beside, broken = new_generation(model, 0, n_tokens=20), new_generation(model, 2, n_tokens=20)
    decoder.join(beside)
    decoder.join(broken)
    decoder.advance()
    nan_hooks: Any = {module: [lambda hidden: hidden * torch.nan] for module in beside.steering[0]}
    broken.steering = [nan_hooks, nan_hooks]
    decoder.step()
    assert isinstance(broken.error, InvalidRequestError) and broken not in decoder.generations
    later = new_generation(model, 1)
    decoder.join(later)
    while decoder.generations:
        decoder.advance()
    for number, generation, n in ((0, beside, 20), (1, later, 12)):
        expected = new_generation(model, number, n_tokens=n)
        generate(model, expected)
        assert equal_generations(generation, expected)


def test_limits_of_rows_and_memory(tiny: Tiny) -> None:
    model, _ = tiny("llama")
    first = new_generation(model, 0)
    room = kv_cache_bytes(model, 4, len(first.rows[0].ids) + 12)
    decoder = Decoder(model, max_rows=4, kv_bytes=room)
    assert decoder.fits(first)  # a generation alone always fits
    decoder.join(first)
    assert decoder.fits(new_generation(model, 1))
    assert not decoder.fits(new_generation(model, 1, n_tokens=30))
    decoder.join(new_generation(model, 1))
    assert not decoder.fits(new_generation(model, 2))
    tight = Decoder(model, max_rows=8, kv_bytes=room - 1)
    tight.join(new_generation(model, 0))
    assert not tight.fits(new_generation(model, 1))


def test_a_model_with_other_state_runs_one_generation_at_a_time(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = tiny("llama")
    expected = new_generation(model, 0)
    generate(model, expected)
    monkeypatch.setattr(decoders, "supports_row_batching", lambda config: False)
    decoder = Decoder(model, max_rows=8, kv_bytes=ANY_BYTES)
    for _ in range(2):
        generation = new_generation(model, 0)
        assert decoder.fits(generation)
        decoder.join(generation)
        assert not decoder.fits(new_generation(model, 1))
        while decoder.generations:
            decoder.advance()
        assert equal_generations(generation, expected)
