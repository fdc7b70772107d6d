"""Errors of calls to a language model."""

from typing import Literal

ProviderCause = Literal[
    "unreachable",
    "timeout",
    "unauthorized",
    "payment_required",
    "unknown_model",
    "rate_limited",
    "rejected",
    "provider_failed",
    "malformed",
    "filtered",
    "truncated",
    "empty",
    "unreadable",
]


STOPPING_CAUSES: frozenset[ProviderCause] = frozenset({"unauthorized", "payment_required", "unknown_model"})
"""Causes that every further request has as well: a run over many features ends with them."""


class ProviderError(Exception):
    """The language model gave no usable answer.

    Args:
        cause: the kind of failure, for programs.
        message: the failure for people. It never contains an API key.
        option: name of the option of `ProviderOptions` or of the explainer whose limit was reached.
        paid: US dollars that an answer cost which cannot be used; None where that is unknown, or there was no answer.
    """

    def __init__(
        self, cause: ProviderCause, message: str, option: str | None = None, paid: float | None = None
    ) -> None:
        super().__init__(message)
        self.cause: ProviderCause = cause
        self.message = message
        self.option = option
        self.paid = paid
