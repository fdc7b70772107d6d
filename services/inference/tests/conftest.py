"""Inference on a free port over a real small model, with SAEs that fire.

model_folder, sources_folder   glassllm as a Llama; SAEs 1-small, 2-small, 3-small (jumprelu) and 2-top (topk)
templated_model                the same model with a chat template
settings                       makes settings over both
hf, tokenize                   the same model by plain transformers, and its tokenizer: text -> ids, BOS in front
url, client                    a server over both, shared by tests that need no other settings, and our client of it
serve, serve_for_module        start a server with the given settings and give its URL once it is ready
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from memicos_engine.generation.decoder import Decoder
from memicos_engine.selftest import execution_modes
from memicos_inference.app import create_app
from memicos_inference.settings import Settings
from memicos_inference_client import Client
from memicos_testing.models import plain_model
from memicos_testing.models.small_model import NAME, small_model, small_sae, write_extras
from memicos_testing.servers import Serve, running
from transformers import AutoTokenizer

WIDTH = 96
NORM_CUT = 42.0
"""Of 3-small: a fifth of positions lie above it."""

TEMPLATE = (
    "{{ bos_token }}{% for turn in messages %}{{ turn.role }}: {{ turn.content }}<eos>{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% if loud %}!{% endif %}{% endif %}"
)
"""Writes BOS at the start and EOS after each turn."""

MakeSettings = Callable[..., Settings]


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("model") / NAME)


@pytest.fixture(scope="session")
def sources_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    for layer in (1, 2, 3):
        small_sae(folder / f"{layer}-small", layer, WIDTH, seed=layer)
    write_extras(folder / "3-small", [0], NORM_CUT)
    small_sae(folder / "2-top", 2, WIDTH, seed=9, architecture="topk")
    return folder


@pytest.fixture(scope="session")
def hf(model_folder: Path) -> Any:
    return plain_model.load(model_folder)


@pytest.fixture(scope="session")
def tokenize(model_folder: Path) -> Callable[[str], list[int]]:
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    return lambda text: [2, *tokenizer(text, add_special_tokens=False)["input_ids"]]


@pytest.fixture(scope="session")
def settings(model_folder: Path, sources_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeSettings:
    own = {
        "model_id": NAME,
        "custom_hf_model_id": str(model_folder),
        "sae_folder": sources_folder,
        "sae_sets": ("small", "top"),
        "token_limit": 100,
        "device": "cpu",
        # tests that count steps repeat prompts
        "text_cache_bytes": 0,
        "residual_cache_bytes": 0,
        "probes": tmp_path_factory.mktemp("probes"),
    }

    def make(**values: Any) -> Settings:
        # stored results of another server, whose model a test may have damaged, do not apply to this one
        return Settings(**{"selftest_results": tmp_path_factory.mktemp("selftest"), **own, **values})

    return make


@pytest.fixture(scope="session")
def templated_model(model_folder: Path, hf: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("templated")
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    tokenizer.chat_template = TEMPLATE
    hf.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@asynccontextmanager
async def ready(settings: Settings) -> AsyncIterator[str]:
    """A running server; yields its URL once the model is loaded."""
    async with running(create_app(settings)) as url, httpx.AsyncClient(base_url=url) as http:
        while not (health := (await http.get("/health")).json())["ready"]:
            assert health["state"] != "failed", health["progress"]
            await asyncio.sleep(0.02)
        yield url


@pytest.fixture(scope="session")
async def url(settings: MakeSettings) -> AsyncIterator[str]:
    async with ready(settings()) as url:
        yield url


@pytest.fixture
async def client(url: str) -> AsyncIterator[Client]:
    async with Client(url, raise_on_unexpected_status=True) as client:
        yield client


@pytest.fixture
async def serve(settings: MakeSettings) -> AsyncIterator[Serve]:
    async with _serving(settings) as start:
        yield start


@pytest.fixture(scope="module")
async def serve_for_module(settings: MakeSettings) -> AsyncIterator[Serve]:
    async with _serving(settings) as start:
        yield start


@asynccontextmanager
async def _serving(settings: MakeSettings) -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def start(**values: Any) -> str:
            return await stack.enter_async_context(ready(settings(**values)))

        yield start


@pytest.fixture
def real_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that change the decoder afterwards do not change the generation that a load tries."""
    methods = {name: getattr(Decoder, name) for name in ("prefill", "step")}
    monkeypatch.setattr(execution_modes, "Decoder", type("ProbeDecoder", (Decoder,), methods))
