"""FastAPI dependency of the routes whose responses depend on the self-test."""

from fastapi import Request

from memicos_inference.verification.state import Verification


async def require_verified(request: Request) -> None:
    """Raises Unavailable where a check failed that the endpoint depends on. Async: it needs no worker thread."""
    verification: Verification = request.app.state.verification
    verification.require_path(request.url.path)
