"""`GET /health`: whether the webapp can serve requests, for supervisors and monitoring."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from memicos_webapp.database.engine import DatabaseDep
from memicos_webapp.embeddings.background import BackgroundEmbedder
from memicos_webapp.errors import ErrorBody

router = APIRouter(tags=["health"])


class EmbedderHealth(BaseModel):
    """The background task that embeds new explanations for search by meaning."""

    state: Literal["disabled", "idle", "embedding", "failing"] = Field(
        description="disabled: MEMICOS_EMBED_EVERY_SECONDS is 0; failing: the last attempt failed and is repeated"
    )
    error: str | None = Field(description="why the last attempt failed; null where it did not")
    failures: int = Field(description="attempts that have failed in a row")
    retry_in_seconds: float | None = Field(description="seconds until the next attempt; null unless state is failing")


class HealthBody(BaseModel):
    """Whether the webapp can serve requests."""

    status: Literal["healthy", "degraded"] = Field(
        description="degraded: pages are served, but new explanations get no vectors and are found by words only"
    )
    embedder: EmbedderHealth = Field(description="state of the background task that embeds new explanations")


@router.get(
    "/health",
    summary="Check the health of the webapp",
    responses={503: {"model": ErrorBody, "description": "The database does not answer"}},
)
async def health(request: Request, database: DatabaseDep) -> HealthBody:
    """Whether the database answers (503 where it does not), and the state of the background embedder."""
    await database.ping()
    background: BackgroundEmbedder = request.app.state.background_embedder
    status = background.status
    return HealthBody(
        status="degraded" if status.state == "failing" else "healthy",
        embedder=EmbedderHealth(
            state=status.state,
            error=status.error,
            failures=status.failures,
            retry_in_seconds=status.retry_in_seconds,
        ),
    )
