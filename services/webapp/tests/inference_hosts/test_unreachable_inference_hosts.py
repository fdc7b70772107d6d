"""Inference servers whose machine stops answering, or whose name cannot be looked up."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_testing.servers import Start, running

TEXT = "the whale rose"
OWN_TEXT = {"feature": {"modelId": "small", "layer": "1-res", "index": "5"}, "customText": TEXT}
SEARCH = {"modelId": "small", "sourceSet": "res", "text": TEXT}
STEER = {
    "modelId": "small",
    "prompt": "Once",
    "n_tokens": 4,
    "features": [{"modelId": "small", "layer": "1-res", "index": 5, "strength": 20}],
}


class Machine:
    """A machine before an inference server. It can hang: connections stay open, new ones too, and nothing answers."""

    def __init__(self, url: str) -> None:
        self.server = urlsplit(url)
        self.writers: list[asyncio.StreamWriter] = []
        self.works = asyncio.Event()
        self.works.set()

    async def start(self) -> None:
        self.listener = await asyncio.start_server(self.connect, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.listener.sockets[0].getsockname()[1]}"

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(self.server.hostname, self.server.port)
        self.writers += [writer, server_writer]
        await asyncio.gather(self.forward(reader, server_writer), self.forward(server_reader, writer))

    async def forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self.works.wait()
            writer.write(data)
        writer.close()

    def close(self) -> None:
        self.works.set()
        self.listener.close()
        for writer in self.writers:
            writer.close()


@asynccontextmanager
async def machine_before(server: FakeInferenceServer) -> AsyncIterator[Machine]:
    async with running(server.app()) as url:
        machine = Machine(url)
        await machine.start()
        try:
            yield machine
        finally:
            machine.close()


async def until_called(server: FakeInferenceServer) -> None:
    async with asyncio.timeout(10):
        while not server.seen:  # noqa: ASYNC110 (the double has no event for it)
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("path", "body"), [("/api/activation/new", OWN_TEXT), ("/api/steer", STEER), ("/api/search-all", SEARCH)]
)
@pytest.mark.parametrize("cut", [True, False], ids=["no power", "hangs"])
async def test_calls_of_a_machine_that_stops_answering_go_to_the_next_host(
    started: Start, loaded_url: str, path: str, body: dict[str, Any], cut: bool
) -> None:
    a, b = FakeInferenceServer(), FakeInferenceServer()
    async with machine_before(a) as machine, running(b.app()) as b_url:
        settings = {"inference_poll_seconds": 0.1, "inference_check_seconds": 1}
        async with started(loaded_url, inference_hosts=f"a={machine.url},b={b_url}", **settings) as client:
            # on a busy machine a check may end too late, and then the other host gets the next call, too
            async with asyncio.timeout(20):
                while not (a.seen and b.seen):
                    assert (await client.post(path, json=body)).status_code == 200
            # a call is running, and another one takes a connection that is open
            a.delay = 60
            a.seen.clear()
            calls = [asyncio.create_task(client.post(path, json=body)) for _ in range(2)]
            await until_called(a)
            machine.works.clear()
            if cut:
                machine.listener.close()
            calls.append(asyncio.create_task(client.post(path, json=body)))
            async with asyncio.timeout(10):
                assert [response.status_code for response in await asyncio.gather(*calls)] == [200] * 3


@pytest.mark.parametrize("second", [None, ("2-res",)], ids=["one host", "the second lacks the source"])
async def test_a_call_waits_for_a_machine_that_hangs_where_no_other_host_serves_it(
    started: Start, loaded_url: str, second: tuple[str, ...] | None
) -> None:
    a, b = FakeInferenceServer(sources=("1-res",)), FakeInferenceServer(sources=second or ())
    async with machine_before(a) as machine, running(b.app()) as b_url:
        hosts = f"a={machine.url}" + (f",b={b_url}" if second else "")
        settings = {"inference_hosts": hosts, "inference_poll_seconds": 0.1, "inference_check_seconds": 0.3}
        async with started(loaded_url, **settings) as client:
            assert (await client.post("/api/activation/new", json=OWN_TEXT)).status_code == 200
            a.seen.clear()
            a.delay = 0.5
            call = asyncio.create_task(client.post("/api/activation/new", json=OWN_TEXT))
            await until_called(a)
            machine.works.clear()
            async with asyncio.timeout(10):
                while "did not respond for 0.3 s" not in (await client.get("/health")).text:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            assert not call.done()
            machine.works.set()
            assert (await call).status_code == 200 and len(a.seen) == 1


async def test_a_name_whose_lookup_hangs_does_not_hold_up_other_hosts(
    started: Start, loaded_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, lookups, look_up = threading.Event(), [], socket.getaddrinfo

    def hanging(host: Any, *rest: Any, **options: Any) -> Any:
        if host == "gone.example":
            lookups.append(host)
            release.wait(60)
            raise socket.gaierror(-3, "Temporary failure in name resolution")
        return look_up(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    server = FakeInferenceServer()
    async with running(server.app()) as url:
        hosts = f"a=http://gone.example:5002,b={url.replace('127.0.0.1', 'localhost')}"
        settings = {"inference_poll_seconds": 0.02, "inference_connect_seconds": 0.5}
        try:
            async with started(loaded_url, inference_hosts=hosts, **settings) as client:
                # more checks than the event loop has threads
                async with asyncio.timeout(30):
                    while len(server.checks) < 150:  # noqa: ASYNC110
                        await asyncio.sleep(0.02)
                response = await client.post("/api/activation/new", json=OWN_TEXT)
                assert response.status_code == 200, response.text
                health = (await client.get("/health")).json()["inference"]
                assert [host["state"] for host in health] == ["down", "ready"]
                assert len(lookups) == 1
        finally:
            release.set()
