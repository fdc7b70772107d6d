"""Pages of models, releases, source sets and sources."""

from fastapi import APIRouter

router = APIRouter(tags=["catalog"])
