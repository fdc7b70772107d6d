"""One embedded PostgreSQL a session with a small dataset in it, and the application over it.

small_dataset    folder of a dataset: model `small`, set `res`, sources 1-res, 2-res, 3-res of 64 features
write_dataset    writes such a dataset, with other names or sizes, for tests that break or change one
server_url       the session's PostgreSQL, template for:
loaded_url       a database with the small dataset loaded, shared: do not write into it
fresh_url        an empty, migrated database of the test's own
own_url          a database of the test's own with the small dataset loaded
create           makes such a database of the given name, which stays to the end
inference        the inference server's double that the application calls, as it was at first
app, client      the application over `loaded_url`, and an httpx client of it (base URL http://localhost)
explanation_client  a client of an application with an autointerp server over `provider`, a language model's double
beyond           a client of an application that is bound beyond loopback, over `own_url`
started          starts an application of the test's own over a database, with these settings: a client of it
url              the application behind a real server on a free port: for streams, and for clients that block
"""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from memicos_autointerp.app import create_app as create_autointerp
from memicos_dataset import manifest as m
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_testing.llm_provider import LlmProvider
from memicos_testing.servers import Start, running
from memicos_testing.webapp.app_settings import make_settings
from memicos_testing.webapp.explanations import autointerp_settings
from memicos_testing.webapp.small_dataset import write_dataset as write_small_dataset
from memicos_webapp.app import create_app
from memicos_webapp.database.embedded import temporary
from memicos_webapp.database.migrate import migrate
from memicos_webapp.datasets.service import load


@pytest.fixture(scope="session")
def write_dataset() -> Callable[..., m.Manifest]:
    return write_small_dataset


@pytest.fixture(scope="session")
def small_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small-dataset")
    write_small_dataset(folder)
    return folder


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    with temporary() as url:
        yield url


def url_of(server_url: str, name: str) -> str:
    return server_url.replace("/postgres?", f"/{name}?")


async def _create(server_url: str, name: str, template: str) -> str:
    connection = await asyncpg.connect(server_url)
    try:
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    finally:
        await connection.close()
    return url_of(server_url, name)


@pytest.fixture(scope="session")
async def migrated(server_url: str) -> str:
    """Name of a migrated, empty database, from which others are copied."""
    await migrate(await _create(server_url, "migrated", "template1"))
    return "migrated"


@pytest.fixture(scope="session")
async def filled(server_url: str, migrated: str, small_dataset: Path) -> str:
    """Name of a database with the small dataset loaded, from which others are copied."""
    await load(small_dataset, await _create(server_url, "filled", migrated))
    return "filled"


@pytest.fixture(scope="session")
async def loaded_url(server_url: str, filled: str) -> str:
    return await _create(server_url, "loaded", filled)


_numbers = itertools.count()


@pytest.fixture(scope="session")
def create(server_url: str, migrated: str) -> Callable[[str], Awaitable[str]]:
    """Makes an empty, migrated database of this name and a number, as a process can run a module's fixtures again."""

    async def create(name: str) -> str:
        return await _create(server_url, f"{name}{next(_numbers)}", migrated)

    return create


@asynccontextmanager
async def _copied(server_url: str, template: str) -> AsyncIterator[str]:
    name = f"fresh{next(_numbers)}"
    yield await _create(server_url, name, template)
    connection = await asyncpg.connect(server_url)
    try:
        await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await connection.close()


@pytest.fixture
async def fresh_url(server_url: str, migrated: str) -> AsyncIterator[str]:
    async with _copied(server_url, migrated) as url:
        yield url


@pytest.fixture
async def own_url(server_url: str, filled: str) -> AsyncIterator[str]:
    async with _copied(server_url, filled) as url:
        yield url


CHECK_AT_EACH_REQUEST = {
    "inference_status_seconds": 0,
    "inference_capabilities_seconds": 0,
    "inference_poll_seconds": 0,
}
"""Nothing that is known of an inference server is believed, so that a test may change it at any time."""


@dataclass(frozen=True)
class Served:
    """A server and its URL."""

    url: str
    double: FakeInferenceServer


@pytest.fixture(scope="session")
async def served_inference() -> AsyncIterator[Served]:
    double = FakeInferenceServer()
    async with running(double.app()) as url:
        yield Served(url, double)


@pytest.fixture
def inference(served_inference: Served) -> Iterator[FakeInferenceServer]:
    served_inference.double.reset()
    yield served_inference.double
    served_inference.double.reset()


@pytest.fixture(scope="session")
async def app(loaded_url: str, served_inference: Served) -> AsyncIterator[FastAPI]:
    settings = make_settings(loaded_url, inference_url=served_inference.url, **CHECK_AT_EACH_REQUEST)
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


def client_of(app: FastAPI) -> httpx.AsyncClient:
    """A client without a server between: an answer comes as a whole, and a fault of ours is a 500."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


@asynccontextmanager
async def _started(url: str, **changes: object) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application of a test's own, with these settings; nothing embeds in the background."""
    app = create_app(
        make_settings(
            url,
            **{"embed_every_seconds": 0, **CHECK_AT_EACH_REQUEST, **changes},
        )
    )
    async with app.router.lifespan_context(app), client_of(app) as client:
        yield client


@pytest.fixture(scope="session")
def started(served_inference: Served) -> Start:
    def start(url: str, **changes: object) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        return _started(url, **{"inference_url": served_inference.url, **changes})

    return start


@pytest.fixture(scope="session")
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        yield client


@pytest.fixture(scope="session")
async def url(app: FastAPI) -> AsyncIterator[str]:
    async with running(app, lifespan="off") as url:
        yield url


@pytest.fixture(scope="session")
def running_provider() -> Iterator[LlmProvider]:
    with LlmProvider() as provider:
        yield provider


@pytest.fixture
def provider(running_provider: LlmProvider) -> LlmProvider:
    running_provider.reset()
    return running_provider


@pytest.fixture(scope="session")
async def autointerp_url(running_provider: LlmProvider) -> AsyncIterator[str]:
    async with running(create_autointerp(autointerp_settings(running_provider, secret="theirs"))) as url:
        yield url


@pytest.fixture
async def explanation_client(
    own_url: str, started: Start, autointerp_url: str, provider: LlmProvider
) -> AsyncIterator[httpx.AsyncClient]:
    async with started(
        own_url, autointerp_url=autointerp_url, autointerp_secret="theirs", explain_activations=3, explain_tokens=9
    ) as client:
        yield client


@pytest.fixture
async def beyond(started: Start, own_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server that is bound beyond loopback."""
    async with started(own_url, host="0.0.0.0") as client:
        yield client
