"""Signals that follow the first one: they end the wait for responses, and the exit is quiet and in order."""

import signal
import socket
import subprocess
import sys
import time

import pytest
from memicos_testing.servers import free_port

PROGRAM = """
import asyncio, logging, sys
from contextlib import asynccontextmanager
from memicos_service import logs, server
from memicos_service.application import ServiceApp
from memicos_service.connections.settings import ConnectionSettings

@asynccontextmanager
async def lifespan(app):
    yield
    print("closed", flush=True)

app = ServiceApp(lifespan=lifespan)

@app.get("/slow")
async def slow():
    print("asked", flush=True)
    await asyncio.sleep(600)

logs.configure("text", logging.INFO)
listener = server.bind("127.0.0.1", int(sys.argv[1]), program="test", variables=("PORT",), backlog=16)
server.run(server.Server(server.server_config(app, graceful_seconds=30, limits=ConnectionSettings())), listener)
print("end", flush=True)
import time; time.sleep(0.3)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_later_signals_end_the_wait_and_close_the_application(number: signal.Signals) -> None:
    port = free_port()
    command = [sys.executable, "-c", PROGRAM, str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        begin = time.monotonic()
        while True:
            try:
                client = socket.create_connection(("127.0.0.1", port))
                break
            except ConnectionRefusedError:
                assert time.monotonic() < begin + 60 and process.poll() is None
                time.sleep(0.05)
        with client:
            client.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert process.stdout.readline() == "asked\n"
            begin = time.monotonic()
            process.send_signal(number)
            time.sleep(0.2)
            assert process.poll() is None
            for _ in range(5):
                process.send_signal(number)
                time.sleep(0.01)
            assert process.wait(30) == 0 and time.monotonic() - begin < 15
            assert b" 503 " in client.recv(4096).partition(b"\r\n")[0]
            assert process.stdout.read() == "closed\nend\n"
            assert process.stderr is not None
            errors = process.stderr.read()
            assert "Traceback" not in errors, errors
