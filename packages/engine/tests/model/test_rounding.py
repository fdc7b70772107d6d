"""What `rounding.py` explains by rounding, and what it does not, whatever a model amplifies."""

import pytest
import torch
from memicos_testing.models.rounding import LARGEST_RELATIVE_ERROR, NOISE_FACTOR, RELATIVE_ERROR, Expected
from memicos_testing.models.tiny_models import CONFIGS
from transformers import AutoModelForCausalLM

LIMIT = RELATIVE_ERROR[torch.float32]
IDS = torch.tensor([[5, 17, 300, 41, 8, 99, 512]])


def amplifying(factor: float) -> Expected:
    """Residual streams (L, T, D) of a small model whose differences by rounding are multiplied by `factor`."""
    torch.manual_seed(0)
    hf = AutoModelForCausalLM.from_config(CONFIGS["llama"]()).eval()

    @torch.inference_mode()
    def run() -> torch.Tensor:
        return torch.cat(hf(IDS, output_hidden_states=True, use_cache=False).hidden_states)

    plain = run()
    return Expected(hf, lambda: plain + factor * (run() - plain), LIMIT)


def changed(expected: Expected, relative: float) -> torch.Tensor:
    """The expected values with one number changed by `relative` times the largest of its row."""
    values = expected.values.clone()
    row = values[1, 3]
    row[row.abs().argmin()] += relative * row.abs().max()
    return values


def test_an_error_beyond_the_largest_one_fails_whatever_a_model_amplifies() -> None:
    expected = amplifying(10_000)
    assert bool((NOISE_FACTOR * expected.noise[1] > 2e-4).all())
    expected.check(changed(expected, 0.9 * LARGEST_RELATIVE_ERROR))
    with pytest.raises(AssertionError, match="times the right difference"):
        expected.check(changed(expected, 2e-4))


def test_an_error_beyond_the_noise_fails() -> None:
    expected = amplifying(1)
    assert bool((NOISE_FACTOR * expected.noise < LIMIT).all())
    expected.check(changed(expected, 0.9 * LIMIT))
    with pytest.raises(AssertionError, match="times the right difference"):
        expected.check(changed(expected, 2 * LIMIT))


def test_a_token_with_a_smaller_expected_logit_fails() -> None:
    """Another token than the largest is right only within twice the bound of a value."""
    expected = amplifying(10_000)
    chosen = expected.values[-1].argmax(-1)
    second = expected.values[-1].topk(2).indices[:, 1]
    logits = Expected(expected.hf, lambda: expected.values[-1], LIMIT)
    logits.check_tokens(expected.values[-1], chosen.tolist())
    values = expected.values[-1].clone().scatter_(-1, second[:, None], expected.values[-1].amax(-1, keepdim=True) * 1.1)
    with pytest.raises(AssertionError, match="another token's expected logit is larger"):
        logits.check_tokens(values, second.tolist())
