"""Every supported class of language model against plain transformers: alone, in a batch, in slices, and generated.

Rows have lengths on both sides of windows, chunks and boundaries. In float64 both computations agree to rounding.
"""

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
from memicos_engine.selftest.execution_modes import with_execution_modes
from memicos_testing.models import plain_model
from memicos_testing.models.model_classes import CASES, ORIGINAL_LENGTH, REFUSED, UNTESTED, ModelCase, write_model
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

FAST = ("cohere2", "gpt_oss", "llama4_text", "llama yarn", "phi3 longrope", "falcon")
"""Classes tested in `make test`; `make test-models` tests all others."""
LENGTHS = (ORIGINAL_LENGTH + 17, 5, ORIGINAL_LENGTH, ORIGINAL_LENGTH + 1, ORIGINAL_LENGTH - 1, 13)
N_TOKENS = 26
TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-9}
"""Of the largest value of a row."""


def test_every_class_of_transformers_is_in_one_list() -> None:
    tested = {case.model_type for case in CASES.values()}
    assert not tested & {*REFUSED, *UNTESTED} and not REFUSED.keys() & UNTESTED.keys()
    assert {*tested, *REFUSED, *UNTESTED} == set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    assert len(tested) >= 32 and all(UNTESTED.values())


@pytest.mark.slow
@pytest.mark.parametrize("model_type", REFUSED)
def test_classes_that_cannot_be_served_are_refused_at_load(model_type: str, small_folder: Path, tmp_path: Path) -> None:
    model = load_model(model_type, str(write_model(tmp_path, ModelCase(model_type), small_folder)))
    with pytest.raises(ValueError, match=REFUSED[model_type]):
        with_execution_modes(model)


def random_prompt(length: int) -> list[int]:
    draw = random.Random(length)
    return [2, *(draw.randrange(5, 1000) for _ in range(length - 1))]


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
def written(
    request: pytest.FixtureRequest, small_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> WrittenModel:
    case = CASES[request.param]
    return WrittenModel(case, write_model(tmp_path_factory.mktemp(case.model_type), case, small_folder))


def expected_residuals(hf: Any, ids: Sequence[int]) -> list[torch.Tensor]:
    """Output (T, D) of every block in a run of one whole text."""
    n_layers = hf.config.get_text_config(decoder=True).num_hidden_layers
    blocks = next(m for m in hf.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == n_layers)
    outputs: list[torch.Tensor] = []
    handles = [
        block.register_forward_hook(
            lambda _block, _args, output: outputs.append(output if isinstance(output, torch.Tensor) else output[0])
        )
        for block in blocks
    ]
    try:
        with torch.inference_mode():
            hf(torch.tensor([list(ids)]), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return [output.reshape(len(ids), -1) for output in outputs]


def assert_close(captured: dict[str, torch.Tensor], expected: list[torch.Tensor], tolerance: float) -> None:
    for layer, reference in enumerate(expected):
        hidden = captured[f"blocks.{layer}.hook_resid_post"]
        assert hidden.shape == reference.shape
        error = (hidden - reference).abs().amax(-1) / reference.abs().amax(-1)
        assert error.max() <= tolerance, f"block {layer}: {error.max():.1e}"


def test_captures_equal_single_runs_of_transformers(written: WrittenModel) -> None:
    for dtype, tolerance in TOLERANCES.items():
        if dtype == torch.float64 and not written.case.float64:
            continue
        model, hf = written.load(dtype)
        prompts = [random_prompt(length) for length in LENGTHS]
        hooks = [f"blocks.{layer}.hook_resid_post" for layer in range(model.n_layers)]
        expected = [expected_residuals(hf, ids) for ids in prompts]
        for ids, residuals in zip(prompts, expected, strict=True):
            alone = {name: hidden[0] for name, hidden in capture(model, torch.tensor([ids]), None, hooks).items()}
            assert_close(alone, residuals, tolerance)
        for max_tokens in (7, 1000):
            *_, results = capture_in_slices(model, [CaptureRequest(prompts, hooks)], lambda n=max_tokens: n)
            assert results is not None
            for captured, residuals in zip(results[0], expected, strict=True):
                assert_close(captured, residuals, tolerance)


def test_generations_equal_whole_runs_of_transformers(written: WrittenModel) -> None:
    """Rows begin before and after the boundary and cross it at different steps; prompts are prefilled in slices."""
    model, hf = written.load(torch.float64 if written.case.float64 else torch.float32)
    rows = [Row(random_prompt(length)) for length in (ORIGINAL_LENGTH - 6, 3, ORIGINAL_LENGTH + 4, ORIGINAL_LENGTH)]
    generation = Generation(model, rows, N_TOKENS, Sampling(), kv_bytes=10**9)
    generation.eos = frozenset()
    decoder = Decoder(model, max_rows=len(rows), kv_bytes=10**9)
    decoder.join(generation)
    while decoder.generations:
        if decoder.has_prefill:
            decoder.prefill(11)
        else:
            decoder.step()
    assert generation.error is None
    for row, ids in zip(rows, generation.ids, strict=True):
        assert ids == most_probable(hf, row.ids, ids, written.case.boundary)


def most_probable(hf: Any, prompt: Sequence[int], generated: Sequence[int], boundary: int | None) -> list[int]:
    """The most probable token after `prompt` and each beginning of `generated`, by runs of whole texts.

    A causal model computes them in one run, except across a boundary.
    """
    text = [*prompt, *generated]
    crosses = boundary is not None and len(prompt) <= boundary < len(text) - 1
    ends = [boundary, len(text) - 1] if crosses else [len(text) - 1]
    tokens: list[int] = []
    for end in ends:
        logits = plain_model.logits(hf, text[:end])[len(prompt) + len(tokens) - 1 :]
        tokens += logits.argmax(-1).tolist()
    return tokens
