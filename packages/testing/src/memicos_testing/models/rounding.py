"""How far a model's own values move when float32 rounds otherwise, measured without memicos.

Another processor, another number of threads or another number of rows sums the same products in another order. Most
models keep such differences below 1e-6 of a row's largest value; some amplify them, recurrences and norms of small
values among others. What a model amplifies is measured by Monte Carlo arithmetic (D. S. Parker, "Monte Carlo
Arithmetic: exploiting randomness in floating-point arithmetic", 1997): values are changed by one rounding with random
signs, and the run is compared with the unchanged one.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

RELATIVE_ERROR = {torch.float32: 1e-5, torch.float64: 1e-9}
"""Difference, over the largest value of a row, that is right whatever the model amplifies; by the model's dtype."""
NOISE_FACTOR = 2.0
"""Larger differences are right up to this multiple of the noise: each of the two computations that are compared rounds.
The noise is 2 to 4 times the difference between float32 and float64 where a class computes in both."""
LARGEST_RELATIVE_ERROR = 1e-4
"""Differences beyond this one are wrong however much a model amplifies."""
SEEDS = range(4)


@contextmanager
def rounded_otherwise(hf: Any, seed: int) -> Iterator[None]:
    """While open, floats that enter or leave the innermost modules of `hf` are times 1 ± 2**-23, by random signs."""
    generator = torch.Generator().manual_seed(seed)

    def changed(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(changed, value))
        if not (isinstance(value, torch.Tensor) and value.is_floating_point()):
            return value
        signs = torch.randint(0, 2, value.shape, generator=generator) * 2 - 1
        return value * (1 + signs * torch.finfo(torch.float32).eps).to(value.dtype)

    handles = []
    for module in hf.modules():
        if next(module.children(), None) is None:
            handles.append(module.register_forward_pre_hook(lambda _module, args: changed(args)))
            handles.append(module.register_forward_hook(lambda _module, _args, output: changed(output)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def relative_errors(values: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """Largest difference of each row over the row's largest expected value: (..., D) to (...)."""
    return (values - expected).abs().amax(-1) / expected.abs().amax(-1)


@dataclass
class Expected:
    """What `compute` gives, values (..., T, D) of the plain model `hf`, and the differences that rounding explains.

    The noise of `hf` is measured only where a value differs by more than `limit`, by runs of `compute`; in float64
    `limit` is all that is right.
    """

    hf: Any
    compute: Callable[[], torch.Tensor]
    limit: float

    def __post_init__(self) -> None:
        self.values = self.compute()

    @cached_property
    def noise(self) -> torch.Tensor:
        """Largest relative difference (..., 1) at any position from values that are rounded otherwise."""
        runs: list[torch.Tensor] = []
        for seed in SEEDS:
            with rounded_otherwise(self.hf, seed):
                runs.append(relative_errors(self.compute(), self.values))
        return torch.stack(runs).amax(0).amax(-1, keepdim=True)

    def bounds(self, errors: torch.Tensor) -> torch.Tensor:
        """Relative differences up to which values with `errors` (..., T) are right; broadcasts to their shape."""
        if self.hf.dtype != torch.float32 or bool((errors <= self.limit).all()):
            return torch.tensor(self.limit)
        return (NOISE_FACTOR * self.noise).clamp(self.limit, LARGEST_RELATIVE_ERROR)

    def check(self, values: torch.Tensor) -> None:
        """Raise AssertionError if `values` (..., T, D) differ by more than rounding explains."""
        assert values.shape == self.values.shape
        errors = relative_errors(values, self.values)
        excess = (errors / self.bounds(errors)).amax(-1)
        assert bool((excess <= 1).all()), f"times the right difference: {excess.tolist()}, differs: {errors.amax(-1)}"

    def check_tokens(self, values: torch.Tensor, ids: Sequence[int]) -> None:
        """Raise AssertionError if `ids` (T,) are not those of the largest expected logits (T, V).

        Another token is right only where it is the largest of `values`, and the two expected logits differ by less
        than two values may by rounding.
        """
        assert list(ids) == values.argmax(-1).tolist()
        chosen = self.values.gather(-1, torch.tensor(ids)[:, None])[:, 0]
        gaps = (self.values.amax(-1) - chosen) / self.values.abs().amax(-1)
        bounds = self.bounds(relative_errors(values, self.values))
        assert bool((gaps <= 2 * bounds).all()), f"another token's expected logit is larger: {gaps.tolist()}"
