"""A replica on one machine of a cluster."""

import ray.util  # pyright: ignore[reportMissingImports]

from memicos_pipeline.replicas.plan import ReplicaPlan
from memicos_pipeline.replicas.server_process import ServerProcess, free_port

LOOPBACK = "127.0.0.1"


class ReplicaActor:
    """Runs one server, which ends with the actor. Methods block, so the actor needs several threads.

    Args:
        key: the server serves only requests that have it.
        local: the cluster is this machine, so that nobody else needs to reach the server.
    """

    def __init__(self, plan: ReplicaPlan, key: str, local: bool) -> None:
        self._plan, self._key = plan, key
        self._host = LOOPBACK if local else ray.util.get_node_ip_address()
        self._server: ServerProcess | None = None

    def start(self) -> str:
        """Start the server; returns its URL when it is healthy.

        Raises:
            ReplicaError: it is not installed, ends while it starts, or is not healthy in time.
        """
        port = free_port(self._host)
        # not as an argument, which other users could read
        environment = {"VLLM_API_KEY": self._key, "VLLM_NO_USAGE_STATS": "1"}
        self._server = ServerProcess(self._plan.command_line(self._host, port), environment, self._host, port)
        self._server.wait_until_healthy(self._plan.start_seconds)
        return f"http://{self._host}:{port}"

    def lost(self) -> str:
        """Why the server serves no longer, when it does not."""
        assert self._server is not None
        return self._server.wait_until_lost()

    def stop(self) -> None:
        """End the server, and wait for that."""
        if self._server is not None:
            self._server.stop()
