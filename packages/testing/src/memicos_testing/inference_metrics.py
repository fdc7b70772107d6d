"""Metrics of a running inference server, to wait for a state that no response shows."""

import asyncio

import httpx


async def metric_values(http: httpx.AsyncClient, name: str) -> dict[str, float]:
    """Values of `memicos_inference_<name>` by label text; the key is "" without a label."""
    return parse_metric((await http.get("/metrics")).text, name)


def parse_metric(text: str, name: str) -> dict[str, float]:
    """Values of `memicos_inference_<name>` in the body of `/metrics`, by label text."""
    prefix = f"memicos_inference_{name}"
    lines = [line for line in text.splitlines() if line.startswith((f"{prefix} ", f"{prefix}{{"))]
    pairs = [line.rpartition(" ") for line in lines]
    return {label.removeprefix(prefix): float(value) for label, _, value in pairs}


async def waiting_requests(http: httpx.AsyncClient) -> dict[str, int]:
    """Number of waiting requests by reason (`new`, `source`, `capture`, `text`, `answer`), without zeros."""
    values = await metric_values(http, "waiting")
    return {label.split('"')[1]: int(value) for label, value in values.items() if value}


async def until_waiting(http: httpx.AsyncClient, **numbers: int) -> None:
    """Return when exactly this many requests wait; raise TimeoutError if that never happens."""
    async with asyncio.timeout(20):
        while await waiting_requests(http) != numbers:  # noqa: ASYNC110  # the server has no event for it
            await asyncio.sleep(0.01)


async def until_rows(http: httpx.AsyncClient, number: int) -> None:
    """Return when exactly this many rows are being generated; raise TimeoutError if that never happens."""
    async with asyncio.timeout(20):
        while (await metric_values(http, "rows")).get("") != number:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def disconnects(http: httpx.AsyncClient) -> int:
    """Number of requests that ended because their client disconnected; their work is already cancelled."""
    values = await metric_values(http, "requests_total")
    return int(sum(value for label, value in values.items() if 'status="499"' in label))


async def until_disconnects(http: httpx.AsyncClient, number: int) -> None:
    """Return when this many clients have disconnected; raise TimeoutError if that never happens."""
    async with asyncio.timeout(20):
        while await disconnects(http) < number:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
