"""The options of `memicos explain` and `memicos score` that start replicas."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    # the command's help is shown without pydantic
    from memicos_autointerp_core.providers.settings import ProviderSettings

    from memicos_pipeline.replicas.plan import ReplicaPlan

Executor = Annotated[
    Literal["local", "ray"],
    typer.Option(help="local: the profile's endpoint is asked; ray: vLLM servers, which are started (RAY_ADDRESS)"),
]
Replicas = Annotated[int, typer.Option(min=1, help="of --executor ray: number of vLLM servers")]
VllmModel = Annotated[str | None, typer.Option(help="of --executor ray: folder or hub id of the model")]
VllmGpus = Annotated[int, typer.Option(min=0, help="of --executor ray: GPUs of each server")]
VllmArguments = Annotated[
    list[str] | None,
    typer.Option(
        help="of --executor ray: argument of `vllm serve`, as --vllm-argument=--max-model-len=8192; repeatable"
    ),
]


def chosen_replicas(
    settings: "ProviderSettings",
    executor: str,
    count: int,
    weights: str | None,
    gpus: int,
    arguments: Sequence[str] | None,
    profile: str | None,
    model: str | None,
    batch: bool,
) -> "ReplicaPlan | None":
    """The replicas that a command starts; None for the endpoint of a profile.

    Raises:
        typer.BadParameter: options that exclude one another.
        ConfigError: Ray is not installed, RAY_ADDRESS names no cluster, or AUTOINTERP_VLLM_COMMAND is no command.
    """
    from memicos_pipeline.execution.ray_environment import check_cluster, require_ray
    from memicos_pipeline.replicas.plan import replica_plan

    if executor == "local":
        if weights is not None or count != 1 or gpus != 1 or arguments:
            raise typer.BadParameter(
                "--replicas, --vllm-model, --vllm-gpus and --vllm-argument are options of --executor ray",
                param_hint="--executor",
            )
        return None
    if weights is None:
        raise typer.BadParameter("--executor ray needs the model that is served", param_hint="--vllm-model")
    if profile is not None:
        raise typer.BadParameter(
            "--executor ray uses no endpoint of a profile: leave out --profile", param_hint="--profile"
        )
    if batch:
        raise typer.BadParameter("vLLM has no batches: leave out --batch and --cancel-batch", param_hint="--executor")
    require_ray("--executor ray")
    check_cluster()
    return replica_plan(settings, count, weights, model, gpus, arguments or ())
