"""Start-up: settings from environment and env file, binding, log format."""

import asyncio
import io
import logging
import socket
import struct
import threading
import time
from pathlib import Path
from typing import Literal

import httpx
import pytest
import uvicorn
from memicos_service import logs, server
from memicos_service import settings as service_settings
from memicos_service.application import ServiceApp
from memicos_service.connections.limited_connection import LimitedConfig
from memicos_service.connections.settings import ConnectionSettings
from memicos_testing.servers import running
from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from starlette.requests import Request
from starlette.responses import Response


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="KIT_", extra="ignore", populate_by_name=True)

    port: int = Field(1, ge=1)
    secret: SecretStr | None = Field(None, validation_alias=AliasChoices("KIT_SECRET", "SECRET"), min_length=3)
    token: str = Field("", validation_alias="TOKEN")


def test_variables_of_fields() -> None:
    names = [service_settings.variable(Settings, name) for name in ("port", "secret", "token", "none")]
    assert names == ["KIT_PORT", "KIT_SECRET", "TOKEN", "none"]


def test_the_environment_comes_before_the_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file = tmp_path / "kit.env"
    env_file.write_text("KIT_PORT=7\nTOKEN=from-file\n")
    monkeypatch.setenv("TOKEN", "from-environment")
    settings = service_settings.read(Settings, env_file)
    assert (settings.port, settings.token) == (7, "from-environment")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"KIT_PORT=1\nKIT_PORT 7\n", r"line 2 of .*kit\.env is not NAME=value: complete the line, or delete it"),
        (
            b"# of the server\nexport TOKEN='a b\nKIT_PORT=7\n",
            r"line 2 of .*kit\.env has a quotation mark that is not closed",
        ),
        (b"TOKEN=\xff\n", r"kit\.env cannot be read: it is not UTF-8"),
        (b"KIT_PORT=0\n", r"program: KIT_PORT: Input should be greater than or equal to 1\."),
    ],
)
def test_a_bad_env_file_ends_the_program_with_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    env_file = tmp_path / "kit.env"
    env_file.write_bytes(content)
    with pytest.raises(SystemExit, match=message) as caught:
        service_settings.read_or_exit("program", Settings, env_file)
    assert "\n" not in str(caught.value)


def test_a_missing_env_file_ends_the_program(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="program: there is no env file"):
        service_settings.read_or_exit("program", Settings, tmp_path / "none.env")


def test_a_bad_value_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "ab")
    monkeypatch.setenv("KIT_PORT", "hidden")
    with pytest.raises(SystemExit) as caught:
        service_settings.read_or_exit("program", Settings)
    message = str(caught.value)
    assert "KIT_PORT: " in message and "SECRET: " in message
    assert "hidden" not in message and "ab." not in message


def test_a_port_in_use_names_its_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(SystemExit) as caught:
            server.bind("127.0.0.1", port, program="program", variables=("KIT_PORT", "KIT_HOST"))
    assert str(caught.value).startswith(f"program: cannot listen on 127.0.0.1:{port}: it is held by process ")
    assert str(caught.value).endswith("Set KIT_PORT or KIT_HOST.")


def test_bind_listens_on_the_configured_address_only() -> None:
    for backlog in (None, 5):
        bound = server.bind("127.0.0.1", 0, program="program", variables=("KIT_PORT",), backlog=backlog)
        with bound, socket.socket() as client:
            assert (client.connect_ex(bound.getsockname()) == 0) == (backlog is not None)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_backlog_of_the_setting_holds_with_both_event_loops(loop: Literal["asyncio", "uvloop"]) -> None:
    listener = server.bind("127.0.0.1", 0, program="program", variables=("KIT_PORT",))
    config = LimitedConfig(ServiceApp(), ConnectionSettings(backlog=7), loop=loop, log_config=None)
    own = uvicorn.Server(config)
    thread = threading.Thread(target=own.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not own.started:
            assert thread.is_alive()
            time.sleep(0.01)
        # `tcpi_sacked` of struct tcp_info, for a listening socket: the limit of its queue
        (limit,) = struct.unpack_from("I", listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 28)
        assert limit == 7
    finally:
        own.should_exit = True
        thread.join(30)


@pytest.mark.parametrize(("host", "loopback"), [("127.0.0.1", True), ("::1", True), ("localhost", True)])
def test_loopback(host: str, loopback: bool) -> None:
    assert server.is_loopback(host) == loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", "127.0.0.1.example.org"])
def test_beyond_loopback(host: str) -> None:
    assert not server.is_loopback(host)


def test_long_messages_are_cut() -> None:
    stream = io.StringIO()
    handler = logs.make_handler("text", stream)
    handler.handle(logging.LogRecord("some.library", logging.ERROR, "file", 1, "x" * 100_000, None, None))
    line = stream.getvalue()
    assert line.startswith("ERROR some.library: xxx")
    assert len(line) < 21_000 and line.endswith("(100,000 characters)\n")


async def test_requests_that_a_shutdown_cancels_are_answered_and_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them had a traceback of 5 kB, and status 500 without the headers of all responses."""
    number, output, begun = 0, io.StringIO(), asyncio.Event()

    async def wait(request: Request) -> Response:
        nonlocal number
        number += 1
        if number == 5:
            begun.set()
        await asyncio.sleep(600)
        return Response()

    app = ServiceApp()
    app.router.add_route("/", wait)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr("sys.stderr", output)
    level = root.level
    logs.configure("text", logging.WARNING)
    try:
        async with httpx.AsyncClient() as http:
            async with running(app, graceful_seconds=1) as url:
                requests = [asyncio.create_task(http.get(url)) for _ in range(5)]
                await begun.wait()
            responses = await asyncio.gather(*requests)
    finally:
        root.setLevel(level)
    for response in responses:
        assert (response.status_code, response.text) == (503, "The server is stopping.")
        assert response.headers["retry-after"] and response.headers["content-security-policy"]
    assert "Cancel 5 running task(s)" in output.getvalue()
    assert len(output.getvalue().splitlines()) == 1, output.getvalue()
