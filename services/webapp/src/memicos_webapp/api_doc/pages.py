"""The API's documentation."""

from fastapi import APIRouter

router = APIRouter(tags=["api-doc"])
