"""Pages of features."""

from fastapi import APIRouter

router = APIRouter(tags=["features"])
