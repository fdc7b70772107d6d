"""Metrics of a running inference server, to wait for a state that no response shows."""

import asyncio

import httpx


async def metric_values(http: httpx.AsyncClient, name: str) -> dict[str, float]:
    """Values of `memicos_inference_<name>` by the label as it is written; "" without a label."""
    return parse_metric((await http.get("/metrics")).text, name)


def parse_metric(text: str, name: str) -> dict[str, float]:
    """Values of `memicos_inference_<name>` in the body of `/metrics`, by the label as it is written."""
    prefix = f"memicos_inference_{name}"
    lines = [line for line in text.splitlines() if line.startswith((f"{prefix} ", f"{prefix}{{"))]
    pairs = [line.rpartition(" ") for line in lines]
    return {label.removeprefix(prefix): float(value) for label, _, value in pairs}


async def waiting_requests(http: httpx.AsyncClient) -> dict[str, int]:
    """How many requests wait, by what for (`new`, `source`, `capture`, `text`, `answer`); those with none left out."""
    values = await metric_values(http, "waiting")
    return {label.split('"')[1]: int(value) for label, value in values.items() if value}


async def until_waiting(http: httpx.AsyncClient, **numbers: int) -> None:
    """Return when exactly so many requests wait; raises TimeoutError where that does not come about."""
    async with asyncio.timeout(20):
        while await waiting_requests(http) != numbers:  # noqa: ASYNC110  # the server has no event for it
            await asyncio.sleep(0.01)


async def until_rows(http: httpx.AsyncClient, number: int) -> None:
    """Return when exactly so many rows are being generated; raises TimeoutError where that does not come about."""
    async with asyncio.timeout(20):
        while (await metric_values(http, "rows")).get("") != number:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def disconnects(http: httpx.AsyncClient) -> int:
    """How many requests have ended because their client closed the connection; their work is cancelled by then."""
    values = await metric_values(http, "requests_total")
    return int(sum(value for label, value in values.items() if 'status="499"' in label))


async def until_disconnects(http: httpx.AsyncClient, number: int) -> None:
    """Return when so many clients have left; raises TimeoutError where that does not come about."""
    async with asyncio.timeout(20):
        while await disconnects(http) < number:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
