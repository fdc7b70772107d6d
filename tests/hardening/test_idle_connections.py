"""Connections without complete requests, more than the process may have open files: other clients are served."""

from collections.abc import Iterator

import pytest
from memicos_testing.held_connections import Kind, held, measure_service
from memicos_testing.programs import PREFIXES, Program, running_programs

pytestmark = pytest.mark.slow

OPEN_FILES = 256
HELD = 300
SECONDS = 5
TIMEOUT_SECONDS = 120
"""A server without a cap of connections answers nobody for as long as they are held, also on a fast machine."""
NO_TIMEOUTS = {
    f"{prefix}_{part}_SECONDS": "3600" for prefix in PREFIXES.values() for part in ("HEADER", "BODY", "IDLE")
}
"""Only the cap lets others in: the connections would outlast the test. packages/service_kit tests the time limits."""
LOG_BYTES = 20_000
"""Largest log of the seconds above, with a line for each request that was answered."""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Program]]:
    with running_programs(tmp_path_factory.mktemp("servers"), NO_TIMEOUTS, OPEN_FILES) as programs:
        yield programs


@pytest.mark.parametrize("kind", ["header", "silent"])
@pytest.mark.parametrize("server", PREFIXES)
def test_other_clients_are_served_and_the_log_stays_small(
    programs: dict[str, Program], server: str, kind: Kind
) -> None:
    program = programs[server]
    logged = program.log_file.stat().st_size
    with held(program.port, HELD, kind):
        service = measure_service(program.port, SECONDS, every=0.5, timeout=TIMEOUT_SECONDS)
        assert program.process.num_fds() < OPEN_FILES
    assert len(service.seconds) == service.requests >= 1
    assert program.log_file.stat().st_size - logged < LOG_BYTES
    assert "out of system resource" not in program.log()


@pytest.mark.parametrize("server", PREFIXES)
def test_other_clients_are_served_beside_incomplete_bodies(programs: dict[str, Program], server: str) -> None:
    program = programs[server]
    with held(program.port, HELD, "body"):
        service = measure_service(program.port, SECONDS, every=0.5, timeout=TIMEOUT_SECONDS)
        assert program.process.num_fds() < OPEN_FILES
    assert len(service.seconds) == service.requests >= 1
    assert "out of system resource" not in program.log()
