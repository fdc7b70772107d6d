"""The tasks that keep replicas running: what happens when one fails. No cluster is started."""

import asyncio

import pytest
from memicos_autointerp_core.bulk.meter import CannotContinue
from memicos_autointerp_core.providers.settings import ProviderSettings
from memicos_pipeline.replicas.plan import replica_plan

# Ray is installed where the slow tests run
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("count", [1, 2])
async def test_requests_do_not_wait_for_replicas_whose_tasks_failed(
    count: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from memicos_pipeline.replicas import ray_replicas

    async def fail(replicas: ray_replicas.RayReplicas, number: int) -> None:
        await asyncio.sleep(0.01 * number)
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(ray_replicas, "connect", lambda cpus, exits: None)
    monkeypatch.setattr(ray_replicas.RayReplicas, "_supervise", fail)
    plan = replica_plan(ProviderSettings.model_validate({}), count, "m", None, 0, ())
    async with ray_replicas.open_replicas(plan, lambda line: None) as replicas:
        # the second request, after the failure, is told at once
        for _ in range(2):
            with pytest.raises(CannotContinue, match=r"^replica 1: BrokenPipeError: \[Errno 32\] Broken pipe"):
                async with asyncio.timeout(20):
                    await replicas.ready()
    assert f"replica {count} of {count}: its task failed" in caplog.text
