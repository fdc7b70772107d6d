"""`compose.own-database.yaml`: a read-only webapp on a database elsewhere, by a role that may only SELECT."""

from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import httpx
import pytest
from memicos_testing.docker_stack import Stack, eventually, output, run

PROJECT = "memicos-test-own"
ROLE = "memicos_test_reader"
PASSWORD = f"a:b@c/{token_hex(8)}"
"""With characters that would have to be encoded in a URL."""
FEATURE = {"modelId": "smollm2-135m-it", "layer": "15-res-4k", "index": "87"}
DASHBOARD = "/smollm2-135m-it/15-res-4k/87"
WRITES = (
    ("/api/explanation/1/label", {"chosen": False}),
    ("/api/explanation/1/delete", {}),
    ("/api/explanation/generate", FEATURE | {"index": 87}),
    ("/api/admin/inference-hosts", {"name": "second", "url": "http://127.0.0.1:9"}),
)


def contents(demo: Stack) -> dict[str, str]:
    """A digest of the rows of every table of the demo's database."""
    tables = demo.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").split()
    rows = "SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM \"{}\" AS t"
    return {table: demo.sql(rows.format(table)) for table in tables}


def drop_role(demo: Stack) -> None:
    if ROLE in demo.sql("SELECT rolname FROM pg_roles").split():
        demo.sql(f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}")


@pytest.fixture(scope="module")
def reader(demo: Stack) -> Iterator[Stack]:
    """A read-only webapp in a project of its own, on the demo's database and inference server."""
    overlay = str(Path(__file__).with_name("own-database.yaml"))
    environment = {
        "DEMO_PROJECT": demo.project,
        "DATABASE_URL": f"postgresql://{ROLE}@database:5432/memicos",
        "PGPASSWORD": PASSWORD,
        "MEMICOS_READ_ONLY": "1",
    }
    files = ("compose.own-database.yaml", overlay)
    stack = Stack("own-database", files, PROJECT, environment=environment)
    stack.remove()
    drop_role(demo)
    demo.sql(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {ROLE}")
    try:
        stack.compose("up", "-d", "webapp")
        yield stack
    finally:
        stack.remove()
        drop_role(demo)


@pytest.fixture
def client(reader: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=reader.url, timeout=240) as client:
        eventually(lambda: client.get("/health").status_code == 200)
        yield client


def test_everything_that_reads_works(client: httpx.Client) -> None:
    page = client.get(DASHBOARD)
    assert page.status_code == 200 and "Read-only" in page.text
    body = {"feature": FEATURE, "customText": "Please wash the dishes."}
    activation = eventually(lambda: is_ok(client.post("/api/activation/new", json=body)))
    assert activation.json()["maxValue"] > 0
    features = [{**FEATURE, "index": 87, "strength": 150}]
    body = {"modelId": FEATURE["modelId"], "prompt": "My favourite hobby is", "n_tokens": 8, "features": features}
    steered = client.post("/api/steer", json=body)
    assert steered.status_code == 200 and steered.json()["STEERED"], steered.text
    found = client.post("/api/explanation/search-all", json={"query": "numbers and dates"})
    assert found.status_code == 200 and found.json()["results"], found.text


def is_ok(response: httpx.Response) -> httpx.Response | None:
    return response if response.status_code == 200 else None


@pytest.fixture
def no_other_writer(demo: Stack) -> Iterator[None]:
    """The demo's own webapp, which still embeds explanations, is stopped."""
    demo.compose("stop", "webapp")
    yield
    demo.compose("start", "webapp")
    eventually(lambda: httpx.get(f"{demo.url}/health").status_code == 200)


@pytest.mark.usefixtures("no_other_writer")
def test_every_write_is_refused_and_nothing_changes(demo: Stack, reader: Stack, client: httpx.Client) -> None:
    before = contents(demo)
    assert len(before) > 10
    for path, body in WRITES:
        refused = client.post(path, json=body, headers={"Origin": reader.url})
        assert refused.status_code == 403 and "MEMICOS_READ_ONLY" in refused.text, (path, refused.text)
    webapp = reader.container("webapp")["Id"]
    for command in (("owner-link",), ("db", "migrate"), ("embed",)):
        done = run("docker", "exec", webapp, "memicos", *command)
        assert done.returncode != 0 and "MEMICOS_READ_ONLY is set" in done.stderr, (command, done)
    assert contents(demo) == before
    log = reader.logs("webapp")
    assert "permission denied" not in log and "Traceback" not in log and PASSWORD not in log, log


def test_a_wrong_password_is_one_line(reader: Stack) -> None:
    wrong = Stack(reader.name, reader.files, reader.project, reader.port, reader.environment | {"PGPASSWORD": "wrong"})
    wrong.compose("up", "-d", "webapp")
    try:
        eventually(lambda: wrong.container("webapp")["RestartCount"] >= 1)
        log = wrong.logs("webapp")
        assert f'password authentication failed for user "{ROLE}"' in log and "Traceback" not in log, log
    finally:
        output("docker", "rm", "-f", wrong.container("webapp")["Id"])
