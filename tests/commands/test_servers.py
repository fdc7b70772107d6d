"""`make *-localhost-install`, `*-localhost-dev` and `doc-*-localhost`, in a copy of the repository with a .venv."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from memicos_testing.servers import free_port

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
OURS = ("MAKE", "MFLAGS", "MEMICOS_", "INFERENCE_", "AUTOINTERP_", "VIRTUAL_ENV", "DATABASE_URL", "DISPLAY")
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
PREFIXES = {"webapp": "MEMICOS", "inference": "INFERENCE", "autointerp": "AUTOINTERP"}
DOCS = {"webapp": "/api-doc", "inference": "/docs", "autointerp": "/docs"}
OPENAPI = {"webapp": "/api/openapi.json", "inference": "/openapi.json", "autointerp": "/openapi.json"}
VERSION, CHANGED = 'version="0.', 'version="9.'
START_SECONDS = 120


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tracked files that the commands use, as they are now."""
    folder = tmp_path_factory.mktemp("commands") / "memicos"
    listed = subprocess.run(
        ["git", "ls-files", "Makefile", "requirements.lock", "requirements.torch.lock", "packages", "services"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    (folder / ".env.inference.none.at-all").write_text("# no model\nMODEL_ID=none\nCUSTOM_HF_MODEL_ID=/none\n")
    return folder


def make(checkout: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["make", "-s", *arguments, f"PYTHON={sys.executable}"],
        cwd=checkout,
        env=ENVIRONMENT | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


@pytest.fixture(scope="module")
def installed(checkout: Path) -> Path:
    """The checkout after the three install commands, each checked; those without torch come first."""
    for service in ("autointerp", "webapp"):
        done = make(checkout, f"{service}-localhost-install")
        assert done.returncode == 0, done.stderr
        probe = f"import memicos_{service}.app, importlib.util, sys; sys.exit(bool(importlib.util.find_spec('torch')))"
        assert (
            subprocess.run([checkout / ".venv/bin/python", "-c", probe], env=ENVIRONMENT, check=False).returncode == 0
        )
    done = make(checkout, "inference-localhost-install")
    assert done.returncode == 0, done.stderr
    probe = "import memicos_inference.app, memicos_inference.model_loading, torch, transformer_lens, sae_lens"
    assert imports(checkout, probe)
    return checkout


def imports(checkout: Path, code: str) -> bool:
    """Whether the .venv of the checkout runs the code."""
    return subprocess.run([checkout / ".venv/bin/python", "-c", code], env=ENVIRONMENT, check=False).returncode == 0


@contextmanager
def dev(checkout: Path, service: str, *options: str) -> Iterator[str]:
    """`make <service>-localhost-dev` on a free port; gives the URL once it answers, and ends it with Ctrl-C."""
    port = str(free_port())
    environment = ENVIRONMENT | {f"{PREFIXES[service]}_PORT": port, "MEMICOS_DATA": str(checkout / "data")}
    process = subprocess.Popen(
        ["make", "-s", f"{service}-localhost-dev", "MODEL_SOURCESET=none.at-all", *options, f"PYTHON={sys.executable}"],
        cwd=checkout,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        assert wait_for_version(url + OPENAPI[service], "0.")
        yield url
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for_version(url: str, start: str, seconds: float = START_SECONDS) -> bool:
    """Whether the OpenAPI document gets a version that starts so in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if httpx.get(url, timeout=5).json()["info"]["version"].startswith(start):
                return True
        except (httpx.TransportError, ValueError):
            pass
        time.sleep(0.1)
    return False


@contextmanager
def changed_code(checkout: Path, service: str) -> Iterator[None]:
    """The service with another version in its code."""
    file = checkout / f"services/{service}/src/memicos_{service}/app.py"
    text = file.read_text()
    assert VERSION in text
    file.write_text(text.replace(VERSION, CHANGED))
    try:
        yield
    finally:
        file.write_text(text)


@pytest.mark.parametrize("service", PREFIXES)
def test_dev_serves_restarts_when_code_changes_and_shows_its_api_page(installed: Path, service: str) -> None:
    with dev(installed, service) as url:
        port = {f"{PREFIXES[service]}_PORT": url.rpartition(":")[2]}
        opened = make(installed, f"doc-{service}-localhost", **port)
        assert opened.returncode == 0 and opened.stdout == f"{url}{DOCS[service]}\n"
        page = httpx.get(url + DOCS[service])
        assert page.status_code == 200 and "://" not in page.text.replace(url, "").split("<body")[0]
        with changed_code(installed, service):
            assert wait_for_version(url + OPENAPI[service], "9.")
    stopped = make(installed, f"doc-{service}-localhost", **port)
    assert stopped.returncode != 0 and f"nothing answers at {url}" in stopped.stderr
    assert f"Start the server: make {service}-localhost-dev" in stopped.stderr


@pytest.mark.parametrize("options", [[], ["NO_RELOAD=1"]], ids=["reload", "no reload"])
def test_a_killed_embedded_postgresql_is_503_until_dev_has_started_it_again(
    installed: Path, options: list[str]
) -> None:
    with dev(installed, "webapp", *options) as url:
        assert httpx.get(url).status_code == 200
        for _ in range(2):
            postmaster = int((installed / "data/postgres/postmaster.pid").read_text().split()[0])
            os.kill(postmaster, signal.SIGKILL)
            responses: list[httpx.Response] = []
            end = time.monotonic() + 60
            while time.monotonic() < end and (not responses or responses[-1].status_code != 200):
                responses.append(httpx.get(url, timeout=20))
                time.sleep(0.02)
            outage, last = responses[:-1], responses[-1]
            assert last.status_code == 200 and outage
            assert {(response.status_code, response.headers.get("retry-after")) for response in outage} == {(503, "5")}
            assert int((installed / "data/postgres/postmaster.pid").read_text().split()[0]) != postmaster


def test_no_reload_runs_the_code_of_the_start(installed: Path) -> None:
    with (
        dev(installed, "autointerp", "NO_RELOAD=1") as url,
        changed_code(installed, "autointerp"),
    ):
        assert not wait_for_version(url + OPENAPI["autointerp"], "9.", seconds=4)


def test_inference_dev_without_a_model_lists_the_configs(installed: Path) -> None:
    done = make(installed, "inference-localhost-dev")
    assert done.returncode != 0 and "name a config" in done.stdout and "none.at-all" in done.stdout
    for options in (["NO_RELOAD=1"], []):
        # with the reload too: no change of code can correct a wrong name
        unknown = make(installed, "inference-localhost-dev", "MODEL_SOURCESET=other", *options)
        assert unknown.returncode != 0
        assert "there is no env file .env.inference.other. Known there: none.at-all." in unknown.stderr


def test_a_page_of_another_program_is_not_mistaken_for_ours(installed: Path, tmp_path: Path) -> None:
    port = str(free_port())
    other = subprocess.Popen(
        [sys.executable, "-m", "http.server", port, "--bind", "127.0.0.1"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        done = make(installed, "doc-autointerp-localhost", AUTOINTERP_PORT=port)
        end = time.monotonic() + 20
        while "status 404" not in done.stderr and time.monotonic() < end:
            time.sleep(0.1)
            done = make(installed, "doc-autointerp-localhost", AUTOINTERP_PORT=port)
        assert done.returncode != 0 and "another program uses the port" in done.stderr
    finally:
        other.kill()
        other.wait()
