"""Choose the next token from logits."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from memicos_engine.errors import InvalidRequestError


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen.

    `temperature` 0 takes the most probable token; any other value divides the logits. `freq_penalty` times the count of
    each token so far, prompt included, is then subtracted, as in TransformerLens; only if both are above 0.
    `n_logprobs` is the number of alternatives that are recorded for each token; 0 records no log-probabilities.
    """

    temperature: float = 0.0
    freq_penalty: float = 0.0
    seed: int = 16
    n_logprobs: int = 0


@dataclass(frozen=True)
class Logprob:
    """Natural logarithms of the model's probabilities before temperature and penalty; `top` has the largest ones."""

    token: int
    logprob: float
    top: list[tuple[int, float]]


class Sampler:
    """Chooses the tokens of one row, with its own random generator, so that other rows do not affect them."""

    def __init__(self, sampling: Sampling, prompt: Sequence[int]) -> None:
        self._sampling = sampling
        self._random = torch.Generator().manual_seed(sampling.seed)
        self._tokens = list(prompt)

    def choose(self, logits: torch.Tensor) -> int:
        """A token from `logits` (V,), float32 on the CPU.

        Raises:
            InvalidRequestError: logits are not finite.
        """
        if not logits.isfinite().all():
            raise InvalidRequestError(
                "The model's logits are not finite: reduce the steering strength, or run the model in another dtype."
            )
        token = int(logits.argmax()) if self._sampling.temperature <= 0 else self._sample(logits)
        self._tokens.append(token)
        return token

    def _sample(self, logits: torch.Tensor) -> int:
        precise = logits.double()  # float64 holds every temperature that a request can have
        scores = (precise - precise.max()) / self._sampling.temperature
        if self._sampling.freq_penalty > 0:
            counts = torch.bincount(torch.tensor(self._tokens, dtype=torch.long), minlength=len(logits))
            scores = scores - self._sampling.freq_penalty * counts.double()
        # a large penalty and a low temperature together may give minus infinity for every token
        weights = scores.clamp(min=-1e300).softmax(-1)
        return int(torch.multinomial(weights, 1, generator=self._random))


def logprob_of(token: int, logits: torch.Tensor, n_top: int) -> Logprob:
    """Log-probability of `token` under `logits` (V,), with the `n_top` largest."""
    logprobs = logits.log_softmax(-1)
    top = logprobs.topk(min(n_top, len(logits)))
    return Logprob(token, logprobs[token].item(), list(zip(top.indices.tolist(), top.values.tolist(), strict=True)))
