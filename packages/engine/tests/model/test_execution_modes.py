"""Which modes of running are chosen for a class, and that values and tokens in them are those of plain transformers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from memicos_engine.capture.capture import CaptureRequest, capture, capture_in_slices
from memicos_engine.generation.decoder import generate
from memicos_engine.generation.generation import Generation, Row, Sampling, kv_cache_bytes
from memicos_engine.generation.steering import SteeringVector
from memicos_engine.model.language_model import LanguageModel, load_model
from memicos_engine.selftest import execution_modes, runner
from memicos_engine.selftest.execution_modes import N_TOKENS, with_execution_modes
from memicos_testing.models import plain_model
from memicos_testing.models.model_classes import ModelCase, write_model

MODES = {
    "llama": (True, True, True),
    "roberta": (True, False, False),
    "openai-gpt": (True, False, False),
    "mamba": (True, True, False),
    "minimax": (True, True, False),
}
"""Whether prompts are batched, prompts are split, and keys are cached."""
PROMPTS = [[2, *range(40, 70)], [2, 300, 301], [2, *range(500, 511)]]
HOOK = "blocks.1.hook_resid_post"


def written(model_type: str, folder: Path, tokenizer: Path) -> Path:
    return write_model(folder, ModelCase(model_type), tokenizer)


@pytest.mark.parametrize("model_type", MODES)
def test_modes_of_a_class_and_its_values(model_type: str, tmp_path: Path, small_folder: Path) -> None:
    folder = written(model_type, tmp_path, small_folder)
    model, hf = with_execution_modes(load_model(model_type, str(folder))), plain_model.load(folder)
    assert (model.batches_prompts, model.splits_prompts, model.caches_keys) == MODES[model_type]
    expected = [capture(model, torch.tensor([ids]), None, [HOOK])[HOOK][0] for ids in PROMPTS]
    *_, results = capture_in_slices(model, [CaptureRequest(PROMPTS, [HOOK])], lambda: 7)
    assert results is not None
    for row, reference in zip(results[0], expected, strict=True):
        assert (row[HOOK] - reference).abs().max() <= 1e-5 * reference.abs().max()
    vector = torch.randn(32, generator=torch.Generator().manual_seed(1))
    steered = [position % 2 == 0 for position in range(len(PROMPTS[2]))]
    rows = [Row(PROMPTS[0]), Row(PROMPTS[1]), Row(PROMPTS[2], [SteeringVector(HOOK, vector, 3.0)], steered)]
    generation = Generation(model, rows, 6, Sampling(), kv_cache_bytes(model, 3, 64))
    generation.eos = frozenset()
    generate(model, generation)
    for row, ids, logits in zip(rows, generation.ids, generation.logits, strict=True):
        assert logits is not None and len(ids) == 6
        reference = whole_logits(hf, model, row, ids[:-1], 3 * vector)
        assert (logits - reference).abs().max() <= 1e-4 * reference.abs().max()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(
    ("model_type", "modes"),
    [
        ("roberta", (True, False, False)),
        ("openai-gpt", (True, False, False)),
        # its state reads the padding before the shorter text of a batch
        ("recurrent_gemma", (True, True, False)),
        ("mixtral", (True, True, True)),
    ],
)
def test_modes_of_a_class_are_the_same_in_16_bit(
    model_type: str,
    modes: tuple[bool, bool, bool],
    dtype: str,
    tmp_path: Path,
    small_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wrong position has less effect than the rounding of several blocks: blocks are compared one by one."""
    folder = written(model_type, tmp_path, small_folder)
    for length in (N_TOKENS, 4 * N_TOKENS):
        monkeypatch.setattr(execution_modes, "N_TOKENS", length)
        model = with_execution_modes(load_model(model_type, str(folder), dtype=dtype))
        assert (model.batches_prompts, model.splits_prompts, model.caches_keys) == modes


def whole_logits(hf: Any, model: LanguageModel, row: Row, generated: list[int], step: torch.Tensor) -> torch.Tensor:
    """Logits (V,) after prompt and generated tokens, by one uncached run with an independent hook."""
    ids = [*row.ids, *generated]
    blocks = next(m for m in hf.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == model.n_layers)
    where = torch.tensor([*(row.mask or [False] * len(row.ids)), *[bool(row.steers)] * len(generated)])[:, None]

    def add(_module: Any, _args: Any, output: Any) -> Any:
        first = output if isinstance(output, torch.Tensor) else output[0]
        changed = first + where * step
        return changed if isinstance(output, torch.Tensor) else (changed, *output[1:])

    handle = blocks[1].register_forward_hook(add)
    try:
        with torch.inference_mode():
            return hf(torch.tensor([ids]), use_cache=False).logits[0, -1]
    finally:
        handle.remove()


def test_prompts_are_run_one_by_one_where_padding_changes_values(
    tmp_path: Path, small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model whose padding leaks into the values of other rows."""
    loaded = load_model("leaks", str(written("llama", tmp_path, small_folder)))
    forward = loaded.hf.base_model.forward

    def leaking(*args: Any, attention_mask: torch.Tensor | None = None, **kwargs: Any) -> Any:
        return forward(*args, attention_mask=None if attention_mask is None else 0 * attention_mask + 1, **kwargs)

    def shifted(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("attention_mask") is not None and "position_ids" not in kwargs:
            kwargs["position_ids"] = 2 * torch.arange(kwargs["input_ids"].shape[1])[None]
        return leaking(*args, **kwargs)

    monkeypatch.setattr(loaded.hf.base_model, "forward", shifted)
    model = with_execution_modes(loaded)
    assert not model.batches_prompts
    longest = max(map(len, PROMPTS))
    ids = torch.tensor([[*prompt, *[0] * (longest - len(prompt))] for prompt in PROMPTS])
    mask = torch.tensor([[1] * len(prompt) + [0] * (longest - len(prompt)) for prompt in PROMPTS])
    batch = capture(model, ids, mask, [HOOK])[HOOK]
    *_, results = capture_in_slices(model, [CaptureRequest(PROMPTS, [HOOK])], lambda: 1000)
    assert results is not None
    for row, prompt in enumerate(PROMPTS):
        alone = capture(model, torch.tensor([prompt]), None, [HOOK])[HOOK][0]
        torch.testing.assert_close(batch[row, : len(prompt)], alone)
        torch.testing.assert_close(results[0][row][HOOK], alone)
    checks = {check.name: check for check in runner.check_model(model, [])}
    assert checks["batch"].passed is None and "one by one" in checks["batch"].detail


@pytest.mark.parametrize(
    ("model_type", "reason"),
    [("bart", "no list of 4 blocks"), ("deepseek_v4", "no residual stream of width 32")],
)
def test_models_that_cannot_be_run_block_by_block_are_refused(
    model_type: str, reason: str, tmp_path: Path, small_folder: Path
) -> None:
    model = load_model(model_type, str(written(model_type, tmp_path, small_folder)))
    with pytest.raises(ValueError, match=reason):
        with_execution_modes(model)
