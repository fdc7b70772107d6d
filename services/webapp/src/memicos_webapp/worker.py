"""`memicos worker`, or `python -m memicos_webapp.worker`: runs background jobs of every kind."""

import ctypes
import os

from memicos_service.start_signals import end_quietly


def run_worker() -> None:
    """Run background jobs until SIGTERM or Ctrl-C, at a low priority (nice 10); jobs of different kinds side by side.

    Jobs that run then, or whose worker is killed, are continued by the next worker at the file where they were. With
    MEMICOS_READ_ONLY it runs no job.
    """
    end_quietly("worker")
    _reuse_freed_memory()
    # not above: it takes seconds, in which a signal would end in a traceback
    from memicos_webapp.worker_program import main as work

    work()


def _reuse_freed_memory() -> None:
    """Make allocators reuse memory that an import freed. Called before pyarrow is imported."""
    # Arrow's own pool keeps a quarter more
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    # glibc, whose number of this option is -8, keeps what was freed for each thread, by default
    if hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(-8, 2)


def main() -> None:
    end_quietly("worker")
    import typer

    typer.run(run_worker)


if __name__ == "__main__":
    main()
