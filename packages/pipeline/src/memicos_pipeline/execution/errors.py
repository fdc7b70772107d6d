class WorkerError(RuntimeError):
    """A worker was lost more often than `execution.attempts`, or failed; the message names what it worked on."""
