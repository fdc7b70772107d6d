"""Every supported class of language model against plain transformers: alone, in a batch, in slices, and generated.

Rows have lengths on both sides of windows, chunks and boundaries. In float64 both computations agree to rounding.
"""

import functools
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from memicos_engine.capture.capture import CaptureRequest, capture, capture_in_slices
from memicos_engine.generation.decoder import Decoder
from memicos_engine.generation.generation import Generation, Row, Sampling
from memicos_engine.model.language_model import LanguageModel, load_model
from memicos_engine.model.length_mechanisms import length_boundaries
from memicos_engine.selftest import runner
from memicos_engine.selftest.execution_modes import with_execution_modes
from memicos_testing.models import plain_model
from memicos_testing.models.model_classes import (
    CASES,
    CONTEXT,
    NOT_BUILT,
    ORIGINAL_LENGTH,
    REFUSED,
    ModelCase,
    tiny_config,
    write_model,
)
from memicos_testing.models.rounding import RELATIVE_ERROR, Expected
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

FAST = ("cohere2", "gpt_oss", "llama4_text", "llama yarn", "phi3 longrope", "falcon", "gemma3")
"""Classes tested in `make test`; `make test-models` tests all others."""
LENGTHS = (ORIGINAL_LENGTH + 17, 5, ORIGINAL_LENGTH, ORIGINAL_LENGTH + 1, ORIGINAL_LENGTH - 1, 13)
N_TOKENS = 26
GENERATED_ERROR = 1e-5
"""Relative difference of logits, which are float32 in all dtypes."""


def test_every_class_of_transformers_is_in_one_list() -> None:
    tested = {case.model_type for case in CASES.values()}
    assert len(tested) + len(REFUSED) + len(NOT_BUILT) == len({*tested, *REFUSED, *NOT_BUILT})
    assert {*tested, *REFUSED, *NOT_BUILT} == set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    assert len(tested) >= 32


@pytest.mark.slow
@pytest.mark.parametrize("model_type", [*REFUSED, *NOT_BUILT])
def test_classes_that_cannot_be_served_are_refused_at_load(model_type: str, small_folder: Path, tmp_path: Path) -> None:
    case, reason = (REFUSED | NOT_BUILT)[model_type]
    # what a server catches when it loads a model
    with pytest.raises((ValueError, AttributeError, ImportError), match=reason):
        with_execution_modes(load_model(model_type, str(write_model(tmp_path, case, small_folder))))


def random_prompt(length: int) -> list[int]:
    draw = random.Random(length)
    return [2, *(draw.randrange(5, 1000) for _ in range(length - 1))]


def late_boundaries(case: ModelCase) -> list[int]:
    """Lengths at which the model begins to compute differently that none of LENGTHS exceeds."""
    return [
        boundary
        for boundary in length_boundaries(tiny_config(case).get_text_config(decoder=True), CONTEXT - 9)
        if boundary >= max(LENGTHS)
    ]


@dataclass(frozen=True)
class WrittenModel:
    case: ModelCase
    folder: Path

    def load(self, dtype: torch.dtype) -> tuple[LanguageModel, Any]:
        """The model by the engine and by transformers."""
        model = with_execution_modes(load_model(self.folder.name, str(self.folder)))
        hf: Any = model.hf
        return replace(model, hf=hf.to(dtype), dtype=dtype), plain_model.load(self.folder).to(dtype)


@pytest.fixture(
    scope="module", params=[name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
def saved_model(
    request: pytest.FixtureRequest, small_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> WrittenModel:
    case = CASES[request.param]
    return WrittenModel(case, write_model(tmp_path_factory.mktemp(case.model_type), case, small_folder))


def expected_residuals(hf: Any, ids: Sequence[int]) -> torch.Tensor:
    """Output of every block (L, T, D) in a run of one whole text."""
    n_layers = hf.config.get_text_config(decoder=True).num_hidden_layers
    lists = [m for m in hf.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == n_layers]
    outputs: list[list[Any]] = [[] for _ in lists]
    handles = [
        block.register_forward_hook(lambda _block, _args, output, of_list=of_list: of_list.append(output))
        for blocks, of_list in zip(lists, outputs, strict=True)
        for block in blocks
    ]
    try:
        with torch.inference_mode():
            hf(torch.tensor([list(ids)]), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    # blocks for images and sound do not run on a text
    own = next(of_list for of_list in outputs if of_list)
    assert len(own) == n_layers
    hidden = [output if isinstance(output, torch.Tensor) else output[0] for output in own]
    return torch.stack([output.reshape(len(ids), -1) for output in hidden])


def expect_residuals(hf: Any, ids: Sequence[int]) -> Expected:
    return Expected(hf, lambda: expected_residuals(hf, ids), RELATIVE_ERROR[hf.dtype])


def test_captures_equal_single_runs_of_transformers(saved_model: WrittenModel) -> None:
    for dtype in RELATIVE_ERROR:
        if dtype == torch.float64 and not saved_model.case.float64:
            continue
        model, hf = saved_model.load(dtype)
        late = late_boundaries(saved_model.case)
        prompts = [random_prompt(length) for length in (*LENGTHS, *late, *(boundary + 9 for boundary in late))]
        hooks = [f"blocks.{layer}.hook_resid_post" for layer in range(model.n_layers)]
        expected = [expect_residuals(hf, ids) for ids in prompts]
        for ids, residuals in zip(prompts, expected, strict=True):
            alone = capture(model, torch.tensor([ids]), None, hooks)
            residuals.check(torch.stack([alone[hook][0] for hook in hooks]))
        for max_tokens in (7, 1000):
            *_, results = capture_in_slices(model, [CaptureRequest(prompts, hooks)], lambda n=max_tokens: n)
            assert results is not None
            for captured, residuals in zip(results[0], expected, strict=True):
                residuals.check(torch.stack([captured[hook] for hook in hooks]))


def test_rounding_does_not_explain_a_missing_token(saved_model: WrittenModel) -> None:
    """The first token of a text hidden, as by a wrong mask."""
    _, hf = saved_model.load(torch.float32)
    ids = random_prompt(13)
    expected = Expected(hf, lambda: expected_residuals(hf, ids)[:, 1:], RELATIVE_ERROR[torch.float32])
    with pytest.raises(AssertionError, match="times the right difference"):
        expected.check(expected_residuals(hf, ids[1:]))


def test_generations_equal_whole_runs_of_transformers(saved_model: WrittenModel) -> None:
    """Rows begin before and after each boundary and cross it at different steps; prompts are prefilled in slices."""
    model, hf = saved_model.load(torch.float64 if saved_model.case.float64 else torch.float32)
    rows = [Row(random_prompt(length)) for length in (ORIGINAL_LENGTH - 6, 3, ORIGINAL_LENGTH + 4, ORIGINAL_LENGTH)]
    rows += [Row(random_prompt(boundary - 3)) for boundary in late_boundaries(saved_model.case)]
    generation = Generation(model, rows, N_TOKENS, Sampling(), kv_bytes=10**9)
    generation.eos = frozenset()
    decoder = Decoder(model, max_rows=len(rows), kv_bytes=10**9)
    decoder.join(generation)
    logits: list[list[torch.Tensor]] = [[] for _ in rows]
    while decoder.generations:
        if decoder.has_prefill:
            decoder.prefill(11)
        else:
            decoder.step()
        for seen, ids, latest in zip(logits, generation.ids, generation.logits, strict=True):
            if len(ids) > len(seen) and latest is not None:
                seen.append(latest)
    assert generation.error is None
    for row, ids, seen in zip(rows, generation.ids, logits, strict=True):
        computation = functools.partial(expected_logits, hf, row.ids, ids, saved_model.case)
        expected = Expected(hf, computation, GENERATED_ERROR)
        expected.check(torch.stack(seen))
        expected.check_tokens(torch.stack(seen), ids)


def expected_logits(hf: Any, prompt: Sequence[int], generated: Sequence[int], case: ModelCase) -> torch.Tensor:
    """Logits (n, V) after `prompt` and each beginning of `generated` (n,), by runs of whole texts.

    A causal model computes them in one run, except across a boundary.
    """
    text = [*prompt, *generated]
    if not case.causal:
        return torch.stack([plain_model.logits(hf, text[:end])[-1] for end in range(len(prompt), len(text))])
    boundary = case.boundary
    crosses = boundary is not None and len(prompt) <= boundary < len(text) - 1
    ends = [boundary, len(text) - 1] if crosses else [len(text) - 1]
    parts: list[torch.Tensor] = []
    for end in ends:
        parts.append(plain_model.logits(hf, text[:end])[len(prompt) + sum(map(len, parts)) - 1 :])
    return torch.cat(parts)


def test_the_self_test_finds_no_fault(saved_model: WrittenModel) -> None:
    """As at the start of a server; what the self-test does not support is skipped. Every boundary is verified."""
    model = with_execution_modes(load_model(saved_model.folder.name, str(saved_model.folder)))
    checks = list(runner.check_model(model, [], runner.short_limits(600, 2**30, model.max_context)))
    assert [check for check in checks if check.passed is False] == []
    assert runner.unverified_beyond(model, model.max_context, checks) is None
