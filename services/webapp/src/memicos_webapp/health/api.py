"""`GET /health`: whether the webapp can serve requests, for supervisors and monitoring."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from memicos_webapp.database.engine import DatabaseDep
from memicos_webapp.embeddings.background import BackgroundEmbedder
from memicos_webapp.errors import ErrorBody
from memicos_webapp.inference_hosts.schemas import HOST_STATE, HostState, host_view

router = APIRouter(tags=["health"])


class EmbedderHealth(BaseModel):
    """The background task that embeds new explanations for search by meaning."""

    state: Literal["disabled", "idle", "embedding", "failing"] = Field(
        description="disabled: MEMICOS_EMBED_EVERY_SECONDS is 0, or the server is read-only; failing: the last attempt "
        "failed and is repeated"
    )
    error: str | None = Field(description="why the last attempt failed; null where it did not")
    failures: int = Field(description="attempts that have failed in a row")
    retry_in_seconds: float | None = Field(description="seconds until the next attempt; null unless state is failing")


class InferenceHostHealth(BaseModel):
    """An inference server that requests may go to."""

    name: str = Field(description="name of the host")
    state: HostState = Field(description=HOST_STATE)
    message: str = Field(description="the state in words")
    model: str | None = Field(description="id of its model; null unless it is ready")


class HealthBody(BaseModel):
    """Whether the webapp can serve requests."""

    status: Literal["healthy", "degraded"] = Field(
        description="degraded: pages are served, but new explanations get no vectors and are found by words only"
    )
    embedder: EmbedderHealth = Field(description="state of the background task that embeds new explanations")
    inference: list[InferenceHostHealth] = Field(
        description="last known state of each enabled inference host; no host is waited for"
    )


@router.get(
    "/health",
    summary="Check the health of the webapp",
    responses={503: {"model": ErrorBody, "description": "The database does not answer"}},
)
async def health(request: Request, database: DatabaseDep) -> HealthBody:
    """Whether the database answers (503 where it does not), and the states of the embedder and of inference hosts."""
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
        inference=[
            InferenceHostHealth(name=host.name, state=view.state, message=view.message, model=view.model)
            for host in request.app.state.inference_hosts.all
            for view in (host_view(host),)
        ],
    )
