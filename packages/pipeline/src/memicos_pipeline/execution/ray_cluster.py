"""The connection to Ray's cluster. `ray_environment.prepare_environment` comes before the import of this module."""

import logging
import tempfile
from contextlib import ExitStack
from pathlib import Path

import ray  # pyright: ignore[reportMissingImports]

from memicos_pipeline.execution.errors import WorkerError
from memicos_pipeline.execution.ray_environment import cluster_address, no_cluster, without_wait

START_SECONDS = 300.0
"""Time for an actor to start. A cluster that is busy, or too small, starts none."""
OBJECT_STORE_BYTES = 100 * 2**20
"""Memory for objects in a local cluster. What is large is in files, so that tasks and results are small."""


def connect(cpus: int, exits: ExitStack) -> None:
    """Connect this process to the cluster that RAY_ADDRESS names, else to a local one with `cpus` CPUs, until `exits`.

    Raises:
        WorkerError: there is no connection, or the local cluster does not start.
    """
    if ray.is_initialized():
        return
    address = cluster_address()
    try:
        if address:
            with without_wait():
                ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
        else:
            # names of sockets have about 100 characters, so that it cannot be inside the work folder
            private = tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True)
            ray.init(
                address="local",
                num_cpus=cpus,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                log_to_driver=False,
                logging_level=logging.WARNING,
                # Ray lets every user of the machine read its folder
                _temp_dir=str(Path(exits.enter_context(private), "r")),
            )
    except Exception as error:  # Ray raises no other type where a node does not start in time
        line = str(error).strip().partition("\n")[0]
        raise WorkerError(no_cluster(address, line) if address else f"Ray: not started: {line}") from error
    exits.callback(ray.shutdown)
