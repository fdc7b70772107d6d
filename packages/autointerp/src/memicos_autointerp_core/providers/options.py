"""Limits of calls and of batches. This module does not import the openai library, so that settings are read without."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ProviderOptions:
    """Limits of one call.

    Attributes:
        timeout_seconds: longest time of one attempt, until its answer is complete.
        retries: further attempts after a lost connection, a time-out, 408, 409, 429 or 5xx.
        deadline_seconds: longest time over all attempts and the waits between them; None: no such limit.
        longest_pause_seconds: a provider that asks for a longer pause (`Retry-After`) fails at once.
        answer_bytes: largest answer, as it is sent and after decompression.
    """

    timeout_seconds: float = 60
    retries: int = 2
    deadline_seconds: float | None = 150
    longest_pause_seconds: float = 120
    answer_bytes: int = 4_000_000


@dataclass(frozen=True)
class BatchOptions:
    """Limits of batches.

    Attributes:
        poll_seconds: between two requests for the state of a batch.
        requests: most requests of one batch.
        file_bytes: largest file of requests.
        unreachable_seconds: longest time without an answer of the provider while a run waits for a batch.
        file_seconds: longest time in which a file is sent or read, or the list of batches is read.
    """

    poll_seconds: float = 30
    requests: int = 50_000
    file_bytes: int = 100_000_000
    unreachable_seconds: float = 3600
    file_seconds: float = 3600
