"""Explanations of the small dataset: an autointerp server's settings, requests, and the rows in the database."""

from typing import Any

import asyncpg
from memicos_autointerp.settings import Settings as AutointerpSettings

from memicos_testing.llm_provider import SERVER_KEY, LlmProvider

GENERATE = "/api/explanation/generate"


WHALE = "the word 'whale' and what follows it"
"""The dataset's explanation of feature 5."""


def autointerp_settings(provider: LlmProvider, **changes: Any) -> AutointerpSettings:
    values = {"base_url": provider.base_url, "api_key": SERVER_KEY, "model": "own-model", "retries": 0}
    values["models"] = "some/model, other/model, m"
    return AutointerpSettings(**{"openrouter_url": None, "allowed_base_urls": "", **values, **changes})


def body(**changes: Any) -> dict[str, Any]:
    request = {"explanationType": "eleuther_acts_top20", "explanationModelName": "some/model"}
    return {"modelId": "small", "layer": "1-res", "index": 5, **request, **changes}


async def stored(url: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(
            """SELECT explanation.index, description, method, model, account.name AS author, source.name AS source
               FROM explanation JOIN account ON account.id = author_id JOIN source ON source.id = source_id"""
        )
    finally:
        await connection.close()
