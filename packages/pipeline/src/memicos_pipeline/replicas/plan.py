"""What is started: how many servers, of which model, with how many GPUs."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from memicos_autointerp_core.providers.profile import Prices, Profile, ProviderLimits
from memicos_autointerp_core.providers.settings import ProviderSettings

from memicos_pipeline.config import ConfigError

BASE_URL = "http://vllm.invalid/v1"
"""Stands for all replicas, whose ports differ from run to run: stored answers are found by it. No host is named so."""
TENSOR_PARALLEL = "--tensor-parallel-size"
ATTEMPTS = 3
"""Starts of a replica, one after the other, of which none answers a request, after which it is given up."""


@dataclass(frozen=True)
class ReplicaPlan:
    """How replicas are started.

    Attributes:
        count: number of replicas.
        weights: folder or hub id of the model.
        model: the name that it is served under, which results are stored under.
        gpus: of each replica; 0 for a vLLM that computes on CPUs.
        arguments: further ones of the command.
        command: the program, with its first arguments.
        start_seconds: longest time until a replica's /health answers.
        concurrency: requests in flight to each replica.
    """

    count: int
    weights: str
    model: str
    gpus: int
    arguments: tuple[str, ...]
    command: tuple[str, ...]
    start_seconds: float
    concurrency: int

    def command_line(self, host: str, port: int) -> list[str]:
        """The command of a replica that listens at `host` and `port`. It has no key: others can read commands."""
        line = [*self.command, self.weights, "--served-model-name", self.model, "--host", host, "--port", str(port)]
        if self.gpus > 1 and not any(argument.partition("=")[0] == TENSOR_PARALLEL for argument in self.arguments):
            line += [TENSOR_PARALLEL, str(self.gpus)]
        return [*line, *self.arguments]

    def profile(self) -> Profile:
        """The profile of all replicas: what vLLM offers, without cost."""
        return Profile(
            name="vllm",
            base_url=BASE_URL,
            key_variable=None,
            models=(self.model,),
            limits=ProviderLimits(concurrency=self.count * self.concurrency),
            prices={self.model: Prices(input=0, output=0)},
            structured_output=True,
            logprobs=True,
        )


def losses_without_answer(before: int, answered: int) -> int:
    """Losses of a replica in a row, including the one of now.

    Args:
        before: such losses until now.
        answered: number of requests that the lost one has answered. With one of them the row begins anew.
    """
    return 1 if answered else before + 1


def replica_plan(
    settings: ProviderSettings, count: int, weights: str, model: str | None, gpus: int, arguments: Sequence[str]
) -> ReplicaPlan:
    """The plan of a command's options. The model is named as its hub id, or as the folder of its weights.

    Raises:
        ConfigError: AUTOINTERP_VLLM_COMMAND is no command.
    """
    folder = Path(weights)
    if folder.is_dir():
        # actors have working folders of their own
        weights = str(folder.resolve())
    name = model or (Path(weights).name if weights.startswith(("/", ".")) else weights)
    try:
        command = tuple(shlex.split(settings.vllm_command))
    except ValueError as error:
        raise ConfigError(f"AUTOINTERP_VLLM_COMMAND: {error}") from error
    if not command:
        raise ConfigError("AUTOINTERP_VLLM_COMMAND is empty")
    return ReplicaPlan(
        count,
        weights,
        name,
        gpus,
        tuple(arguments),
        command,
        settings.vllm_start_seconds,
        settings.vllm_concurrency,
    )
