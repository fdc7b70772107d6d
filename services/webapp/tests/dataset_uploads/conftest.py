"""The application with small limits of uploads.

settings         its settings
app, client      the application over an empty database, and an httpx client of it
"""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from memicos_testing.webapp.app_settings import make_settings
from memicos_testing.webapp.imports.dataset_uploads import PART
from memicos_webapp.app import create_app
from memicos_webapp.settings import Settings


@pytest.fixture
def settings(fresh_url: str, tmp_path: Path) -> Settings:
    return make_settings(
        fresh_url, data=tmp_path / "data", upload_part_bytes=PART, upload_free_bytes=0, embed_every_seconds=0,
        cleanup_every_seconds=0, inference_poll_seconds=0, uploads_per_account=2, upload_files=50,
    )  # fmt: skip


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client
